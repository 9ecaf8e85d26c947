"""Fair steps in PyTorch.

:func:`fair_backward` takes the place of ``loss.backward()`` where there are several losses:

    from fairhuman_fairness.torch import fair_backward

    optimizer.zero_grad()
    solution = fair_backward({"picture": loss, "face": face_loss, "hand": None}, model.parameters())
    optimizer.step()

:class:`Weighting` and :class:`Aggregator` have the interface of those of TorchJD, for its ``jac_to_grad`` and its
``autogram.Engine``. They do not need TorchJD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._solve import Solution
from ._weighting import Weighting as _Weighting

__all__ = ["Aggregator", "Weighting", "fair_backward", "gramian"]

_PIECE = 1 << 22
"""Elements of a gradient that are widened to float64 at a time."""


def fair_backward(
    losses: Mapping[str, Tensor | None] | Sequence[Tensor | None],
    params: Iterable[Tensor],
    alpha: float = 2.0,
    *,
    weighting: _Weighting | None = None,
    retain_graph: bool = False,
) -> Solution:
    """Adds the fair direction of several losses to the ``.grad`` of the parameters.

    The direction is ``factor * sum_i w_i g_i``, about as long as the gradient of the sum of the losses for alpha-fair
    weights, so a learning rate for the sum is a good one to begin with. Each loss is differentiated by itself, so a
    step takes one backward pass and one copy of the gradients for each.

    The losses must not be scaled (no ``GradScaler``; float32 or bfloat16), and in data-parallel training the gradients of
    each loss would have to be summed over all processes first: this function is for one process.

    :param losses: K scalars, in a dictionary to have their names in messages. An objective that has no part in this
        batch is None, or a loss that depends on no parameter: its weight is 0.
    :param params: the parameters, each once. Those that need no gradient are left out.
    :param alpha: see :func:`fairhuman_fairness.solve`.
    :param weighting: another method in place of alpha-fair weights, with its memory.
    :param retain_graph: keeps the graph for a further backward pass.
    :returns: the weights, and how they were found. Where it is ``"all-absent"``, no ``.grad`` was changed.
    :raises ValueError: for a gradient that is not finite, naming the loss, and as :func:`fairhuman_fairness.solve`. No
        ``.grad`` was changed then: leave the step out.
    """
    named = losses if isinstance(losses, Mapping) else {f"loss {i}": loss for i, loss in enumerate(losses)}
    trained = [param for param in params if param.requires_grad]
    if not trained:
        raise ValueError("no parameter needs a gradient")
    if weighting is None:
        weighting = _Weighting("alpha-fair", alpha=alpha)
    present = {name: loss for name, loss in named.items() if loss is not None and loss.requires_grad}
    last = next(reversed(present), None)
    gradients: list[Sequence[Tensor | None]] = []
    for name in named:
        if name in present:
            keep = retain_graph or name != last
            gradients.append(torch.autograd.grad(present[name], trained, retain_graph=keep, allow_unused=True))
        else:
            gradients.append([None] * len(trained))
    solution = weighting.weigh(
        gramian(gradients),
        [present[name].item() if name in present else 1.0 for name in named],
        names=list(named),
        absent=[name not in present for name in named],
    )
    with torch.no_grad():
        for param, column in zip(trained, zip(*gradients)):
            terms = [
                coefficient * gradient
                for coefficient, gradient in zip(solution.combination, column)
                if gradient is not None and coefficient != 0.0
            ]
            if terms:
                total = sum(terms[1:], start=terms[0])
                param.grad = total if param.grad is None else param.grad.add_(total)
    return solution


@torch.no_grad()
def gramian(gradients: Sequence[Sequence[Tensor | None]]) -> Tensor:
    """The Gram matrix of K gradients, summed in float64.

    :param gradients: for each objective one tensor per parameter, None where it does not depend on the parameter.
    :returns: K x K inner products on the CPU, in float64.
    """
    k = len(gradients)
    # One sum on each device, so that a device is waited for once.
    sums: dict[torch.device, Tensor] = {}
    for column in zip(*gradients):
        like = next((gradient for gradient in column if gradient is not None), None)
        if like is None:
            continue
        flat = [torch.zeros_like(like).flatten() if gradient is None else gradient.flatten() for gradient in column]
        # Apple's devices have no float64.
        device = torch.device("cpu") if like.device.type == "mps" else like.device
        for start in range(0, like.numel(), _PIECE):
            piece = torch.stack([row[start : start + _PIECE] for row in flat]).to(device).double()
            products = piece @ piece.T
            sums[device] = sums[device] + products if device in sums else products
    return sum((part.cpu() for part in sums.values()), start=torch.zeros(k, k, dtype=torch.float64))


class Weighting(nn.Module):
    """Weights from a Gramian, as TorchJD's ``Weighting``.

    :param kind: a method that reads no losses, such as ``"alpha-fair"``, ``"nash"``, ``"mgda"``, ``"cagrad"`` or
        ``"upgrad"``.
    :param factor: multiplies the weights by :attr:`~fairhuman_fairness.Solution.factor`, as fairhuman's training does.
        TorchJD's weightings have none.
    :param seed: see :class:`fairhuman_fairness.Weighting`.
    :param parameters: the method's own, such as ``alpha``.
    :raises ValueError: for unknown kinds, parameters and values, and for methods that read losses.
    """

    def __init__(self, kind: str = "alpha-fair", *, factor: bool = False, seed: int = 0, **parameters: Any) -> None:
        super().__init__()
        self.method = _Weighting(kind, seed=seed, **parameters)
        if self.method.needs_losses:
            raise ValueError(f"{kind} reads the losses, which a Gramian does not have; use fair_backward")
        self.factor = factor
        #: The last step's solution.
        self.solution: Solution | None = None

    @torch.no_grad()
    def forward(self, gramian: Tensor, /) -> Tensor:
        """The K weights for a K x K Gramian, of its type and on its device."""
        solution = self.solution = self.method.weigh(_lifted(gramian))
        weights = solution.combination if self.factor else solution.weights
        return torch.tensor(weights, dtype=gramian.dtype, device=gramian.device)

    def get_extra_state(self) -> dict[str, Any]:
        """The method's memory, for ``state_dict``."""
        return self.method.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Goes on with a memory of ``state_dict``."""
        self.method.load_state_dict(state)

    def extra_repr(self) -> str:
        """The method with its parameters."""
        return repr(self.method)


class Aggregator(nn.Module):
    """The weighted sum of the rows of a Jacobian, as TorchJD's ``Aggregator``. Parameters as :class:`Weighting`."""

    def __init__(self, kind: str = "alpha-fair", *, factor: bool = False, seed: int = 0, **parameters: Any) -> None:
        super().__init__()
        self.weighting = Weighting(kind, factor=factor, seed=seed, **parameters)

    @torch.no_grad()
    def forward(self, matrix: Tensor, /) -> Tensor:
        """The direction, n numbers, for the K x n matrix of K gradients."""
        if matrix.ndim != 2:
            raise ValueError(f"expected a matrix of K gradients, K x n; its shape is {tuple(matrix.shape)}")
        weights: Tensor = self.weighting(gramian([[row] for row in matrix]))
        return weights.to(matrix) @ matrix


def _lifted(gramian: Tensor) -> Tensor:
    """A Gramian in float64. One that was summed in less is not quite symmetric, and has a slightly negative eigenvalue
    where gradients are collinear: the smallest ridge that lifts it is added. What is more than rounding stays, to be
    refused."""
    exact = gramian.detach().cpu().double()
    if exact.ndim != 2 or gramian.dtype == torch.float64 or not torch.isfinite(exact).all():
        return exact
    rounding = 64 * torch.finfo(gramian.dtype).eps
    norms = exact.diagonal().clamp(min=0.0).sqrt()
    if ((exact - exact.T).abs() > rounding * norms * norms[:, None]).any():
        return exact
    exact = (exact + exact.T) / 2
    norms[norms == 0.0] = 1.0
    lowest = torch.linalg.eigvalsh(exact / norms / norms[:, None])[0].item()
    if -rounding < lowest < 0.0:
        exact += torch.diag(exact.diagonal() * -2.0 * lowest)
    return exact
