"""Weights of several training objectives from the Gram matrix of their gradients.

With gradients ``g_1 .. g_K`` and ``A_ij = g_i . g_j``, the alpha-fair direction ``sum_i w_i g_i`` has the weights that
solve ``A w = w ** (-1 / alpha)`` with ``w > 0``: 0 is the plain sum, 1 proportional fairness (Nash), 2 Minimum
Potential Delay (the default), infinity max-min.

>>> from fairhuman_fairness import solve
>>> solution = solve([[1.0, 0.0, 0.0], [0.0, 0.09, 0.0], [0.0, 0.0, 0.01]])  # picture, face, hand
>>> [round(weight / solution.weights[0], 2) for weight in solution.weights]
[1.0, 4.98, 21.54]

An objective without a gradient is absent: it gets weight 0 instead of a huge one.

>>> solve([[1.0, 0.0], [0.0, 0.0]]).weights
(1.0, 0.0)

:class:`Weighting` is every other method that needs the Gram matrix and the losses alone, with its memory.
:mod:`fairhuman_fairness.torch` has what PyTorch users need; nothing else here imports PyTorch, or numpy.
"""

from ._native import KINDS, __version__
from ._solve import Solution, cosines, solve
from ._weighting import Weighting

__all__ = ["KINDS", "Solution", "Weighting", "__version__", "cosines", "solve"]
