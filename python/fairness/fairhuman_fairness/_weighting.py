"""Every weighting that reads the Gram matrix and the losses, with its memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _native
from ._input import Gram, Matrix, Numbers, Step, listed, matrix
from ._solve import Solution


class Weighting:
    """A method of weighing objectives, by the name and with the parameters that it has in fairhuman's recipes.

    >>> from fairhuman_fairness import Weighting
    >>> weighting = Weighting("cagrad", c=0.4)
    >>> solution = weighting.weigh([[1.0, -0.1], [-0.1, 0.04]])
    >>> all(rate > 0 for rate in solution.rates)
    True

    An object belongs to one run: it counts the steps, and methods such as ``"famo"`` or ``"dwa"`` learn from one step
    to the next.

    :param kind: one of :data:`KINDS`.
    :param seed: seed of ``"rlw"`` and ``"pcgrad"``, whose random numbers are a function of seed and step.
    :param parameters: the method's own; the README lists them.
    :raises ValueError: for unknown kinds, parameters and values.
    """

    def __init__(self, kind: str = "alpha-fair", *, seed: int = 0, **parameters: Any) -> None:
        about = _native.about({"kind": kind, **{name: listed(value) for name, value in parameters.items()}})
        self.kind = kind
        self.seed = seed
        #: All parameters, defaults included.
        self.parameters: dict[str, Any] = about["parameters"]
        del self.parameters["kind"]
        #: The method with its parameters in a few words.
        self.label: str = about["label"]
        #: True if the weights depend on the Gram matrix.
        self.needs_gram: bool = about["needs_gram"]
        #: True if they depend on the losses, which must be positive then.
        self.needs_losses: bool = about["needs_losses"]
        #: True if :meth:`look_back` is to be called after each step of the optimiser.
        self.needs_losses_after: bool = about["needs_losses_after"]
        #: Steps so far.
        self.step = 0
        self._state: dict[str, str] = {}
        self._seen: tuple[Matrix, Step] | None = None

    def weigh(
        self,
        gram: Gram | None = None,
        losses: Numbers | None = None,
        *,
        names: Sequence[str] | None = None,
        absent: Sequence[bool] | None = None,
    ) -> Solution:
        """The weights of the next step.

        :param gram: K x K inner products of the gradients, see :func:`solve`; may be left out unless
            :attr:`needs_gram`.
        :param losses: K losses; may be left out unless :attr:`needs_losses`. Those of absent objectives are not read.
        :param names: K names for messages.
        :param absent: K flags of objectives that have no part in this step, and whose part of the memory stays as it
            is. A zero gradient is absent by itself.
        :raises ValueError: for inputs that are missing or that the method cannot use. The memory is then as it was.
        """
        if gram is None and self.needs_gram:
            raise ValueError(f"{self.kind} needs the Gram matrix of the gradients")
        if losses is None and self.needs_losses:
            raise ValueError(f"{self.kind} needs the losses")
        known = next((values for values in (gram, losses, absent) if values is not None), None)
        if known is None:
            raise ValueError("give a Gram matrix, losses or absent flags: the number of objectives is not known")
        k = len(known)
        rows = [[float(i == j) for j in range(k)] for i in range(k)] if gram is None else gram
        seen = (
            matrix(rows, names, absent),
            Step([1.0] * k if losses is None else listed(losses), self.seed, self.step + 1),
        )
        fields, self._state = _native.weigh(self._recipe(), *seen, self._state)
        self.step += 1
        self._seen = seen
        return Solution._read(fields, rates=gram is not None)

    def look_back(self, losses: Numbers) -> None:
        """Learns from the K losses of the same samples, computed again after the step of the optimiser. Methods that
        do not ask for them (:attr:`needs_losses_after`) learn nothing.

        :raises ValueError: for losses that cannot be used, and where no :meth:`weigh` came before.
        """
        if self._seen is None:
            raise ValueError("look_back comes after weigh, once for each step")
        self._state = _native.look_back(self._recipe(), *self._seen, listed(losses), self._state)
        self._seen = None

    def state_dict(self) -> dict[str, Any]:
        """The memory, of plain types: the step, and numbers as hexadecimal words, so that none changes on the way."""
        return {"step": self.step, "state": dict(self._state)}

    def load_state_dict(self, memory: dict[str, Any]) -> None:
        """Goes on with a memory of :meth:`state_dict`, of a weighting of the same kind."""
        self.step, self._state, self._seen = memory["step"], dict(memory["state"]), None

    def _recipe(self) -> dict[str, Any]:
        return {"kind": self.kind, **self.parameters}

    def __repr__(self) -> str:
        parameters = [f"{name}={value!r}" for name, value in self.parameters.items()]
        return f"Weighting({', '.join([repr(self.kind), *parameters])})"
