"""The inputs of a step as the native functions read them: lists, from whatever a caller has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

Numbers: TypeAlias = Any
"""A sequence of numbers, or an array or tensor of one dimension."""

Gram: TypeAlias = Any
"""K rows of K numbers: nested sequences, or an array or tensor of two dimensions."""


class Matrix(NamedTuple):
    """The Gram matrix of one step."""

    rows: Sequence[Sequence[float]]
    names: Sequence[str] | None
    absent: Sequence[bool] | None


class Step(NamedTuple):
    """Everything of a step besides its Gram matrix."""

    losses: Sequence[float]
    seed: int
    step: int


def listed(values: Any) -> Any:
    """Lists in place of an array or tensor: exact, and at once instead of element by element."""
    return values.tolist() if hasattr(values, "tolist") else values


def matrix(gram: Gram, names: Sequence[str] | None, absent: Sequence[bool] | None) -> Matrix:
    """The Gram matrix with what is known of its objectives."""
    return Matrix(listed(gram), names, listed(absent))
