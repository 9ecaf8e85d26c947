"""Alpha-fair weights, and what every weighting answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _native
from ._input import Gram, Numbers, listed, matrix


@dataclass(frozen=True)
class Solution:
    """Weights of K objectives, with the evidence of how they came about."""

    weights: tuple[float, ...]
    """K weights, finite, 0 for absent objectives. Only ``imtl-g`` and ``aligned-mtl`` give negative ones."""

    factor: float
    """Factor of the direction, as the method defines it: K for alpha-fair weights, absent objectives included, so that
    a step is about as long as one on the sum of the losses; the number of present objectives for weights that make a
    mean of the gradients; 1 for weights of the losses themselves."""

    rates: tuple[float, ...] | None
    """K numbers ``(A w)_i``: how fast each loss falls along ``sum_i w_i g_i``. None without a Gram matrix."""

    absent: tuple[bool, ...]
    """K flags: true for objectives with a zero gradient and for those declared absent."""

    outcome: str
    """``"fair"``: the weights solve the method's equation. ``"conflict"``: gradients oppose each other, no direction
    lowers all losses, and the weights are those of the matrix with :attr:`ridge`. ``"all-absent"``: there is nothing to
    step along. ``"stalled"``: the solver gave up, and the weights only make the gradients equally long."""

    ridge: float | None
    """In a conflict, what was added to the diagonal, relative to each squared gradient norm."""

    norm: float | None
    """In a conflict, the norm of the vanishing convex combination of the unit gradients."""

    iterations: int
    """Iterations of the solver, 0 for weights in closed form."""

    residual: float
    """The largest relative error of the equation that the weights solve."""

    @property
    def combination(self) -> tuple[float, ...]:
        """The coefficients of the gradients in the parameters' gradient: the weights times :attr:`factor`."""
        return tuple(self.factor * weight for weight in self.weights)

    @classmethod
    def _read(cls, fields: Mapping[str, Any], *, rates: bool = True) -> Solution:
        """The solution in a dictionary of the native module."""
        outcome = fields["outcome"]
        return cls(
            weights=tuple(fields["weights"]),
            factor=fields["factor"],
            rates=tuple(fields["rates"]) if rates else None,
            absent=tuple(fields["absent"]),
            outcome=outcome["kind"],
            ridge=outcome.get("ridge"),
            norm=outcome.get("norm"),
            iterations=fields["iterations"],
            residual=fields["residual"],
        )


def solve(
    gram: Gram,
    alpha: float = 2.0,
    *,
    priority: Numbers | None = None,
    names: Sequence[str] | None = None,
    absent: Sequence[bool] | None = None,
) -> Solution:
    """Alpha-fair weights: ``A w = (p / w) ** (1 / alpha)``, ``w > 0``.

    :param gram: K x K inner products of the gradients, of 1 to 32 objectives. The gradients must not be scaled (no loss
        scaling), and the products should be summed in float64: a matrix that no gradients have is refused.
    :param alpha: 0 (the plain sum), 1 (proportional fairness), 2 (Minimum Potential Delay), up to ``math.inf``
        (max-min).
    :param priority: K positive numbers p, 1 by default: an objective with a larger one is served more.
    :param names: K names for messages.
    :param absent: K flags of objectives that have no part in this step. A zero gradient is absent by itself.
    :raises ValueError: for a matrix that is not finite, not symmetric or not the Gram matrix of any gradients, naming
        the objective; for a negative alpha; for priorities that do not fit.
    """
    return Solution._read(_native.solve(matrix(gram, names, absent), alpha, listed(priority)))


def cosines(gram: Gram) -> list[list[float]]:
    """The cosines between the gradients, K rows of K: negative where two objectives conflict, 0 beside zero gradients.

    :raises ValueError: as :func:`solve`.
    """
    rows = matrix(gram, None, None)
    k, flat = len(rows.rows), _native.cosines(rows)
    return [flat[i * k : (i + 1) * k] for i in range(k)]
