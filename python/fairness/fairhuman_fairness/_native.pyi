"""Types of the native functions. See the functions and classes of the package, which check and name what they give."""

from collections.abc import Mapping, Sequence
from typing import Any

from ._input import Matrix, Step

KINDS: tuple[str, ...]
__version__: str

def solve(matrix: Matrix, alpha: float, priority: Sequence[float] | None) -> dict[str, Any]: ...
def cosines(matrix: Matrix) -> list[float]: ...
def about(weighting: Mapping[str, Any]) -> dict[str, Any]: ...
def weigh(
    weighting: Mapping[str, Any], matrix: Matrix, step: Step, state: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]: ...
def look_back(
    weighting: Mapping[str, Any], matrix: Matrix, step: Step, after: Sequence[float], state: Mapping[str, str]
) -> dict[str, str]: ...
