"""Alpha-fair weights from Python: the equation, absent objectives, conflicts, and what is refused."""

import math
import subprocess
import sys

import pytest

from fairhuman_fairness import cosines, solve

GRAM = [[4.0, 0.5, -0.2], [0.5, 0.25, 0.01], [-0.2, 0.01, 0.04]]


def product(gram, weights):
    return [sum(a * w for a, w in zip(row, weights)) for row in gram]


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1, 2, 5.0, 40.0])
def test_the_weights_solve_the_equation(alpha):
    solution = solve(GRAM, alpha)
    assert solution.outcome == "fair" and solution.ridge is None
    assert all(weight > 0 for weight in solution.weights)
    wanted = [weight ** (-1 / alpha) for weight in solution.weights]
    assert product(GRAM, solution.weights) == pytest.approx(wanted, rel=1e-9)
    assert solution.rates == pytest.approx(wanted, rel=1e-9)


def test_alpha_2_is_the_default_and_the_ends_are_sum_and_max_min():
    assert solve(GRAM) == solve(GRAM, 2.0)
    assert solve(GRAM, 0).weights == (1.0, 1.0, 1.0)
    # The second objective gets more than 1 without help.
    most = solve(GRAM, math.inf)
    assert most.weights[1] == 0.0 and most.rates[1] > 1.0
    assert [most.rates[0], most.rates[2]] == pytest.approx([1.0, 1.0])


def test_the_combination_has_the_number_of_objectives_as_factor():
    solution = solve(GRAM)
    assert solution.factor == 3.0
    assert solution.combination == tuple(3.0 * weight for weight in solution.weights)


def test_priorities_serve_an_objective_more():
    plain, first = solve(GRAM), solve(GRAM, priority=[1, 1, 4])
    assert first.rates[2] > plain.rates[2]
    weights = first.weights
    assert product(GRAM, weights) == pytest.approx([(p / w) ** 0.5 for p, w in zip([1, 1, 4], weights)])


def test_absent_objectives_have_weight_0_and_change_nothing_for_the_others():
    two = solve([row[:2] for row in GRAM[:2]])
    declared = solve(GRAM, absent=[False, False, True])
    zero = solve([[4.0, 0.5, 0.0], [0.5, 0.25, 0.0], [0.0, 0.0, 0.0]])
    for solution in (declared, zero):
        assert solution.absent == (False, False, True)
        assert solution.weights[2] == 0.0 and solution.rates[2] == 0.0
        assert solution.weights[:2] == pytest.approx(two.weights, rel=1e-12)
    assert solve([[0.0]]).outcome == "all-absent"


def test_a_conflict_is_reported():
    solution = solve([[1.0, -1.0], [-1.0, 1.0]])
    assert solution.outcome == "conflict"
    assert solution.ridge > 0 and solution.norm < 1e-6
    assert all(math.isfinite(weight) for weight in solution.weights)


@pytest.mark.parametrize(
    ("gram", "arguments", "message"),
    [
        ([[1.0, math.nan], [math.nan, 1.0]], {"names": ["face", "hand"]}, 'gradient of "face", "hand" is not finite'),
        ([[1.0, 2.0], [2.0, 1.0]], {}, 'the product of "objective 0" and "objective 1" is 2'),
        ([[1.0, 0.0], [0.0]], {}, "row 1 of the Gram matrix has 1 values, but there are 2 rows"),
        ([[1.0]], {"alpha": -1.0}, "alpha is -1"),
        ([[1.0]], {"priority": [1.0, 2.0]}, "2 priorities for 1 objectives"),
        ([[1.0]], {"absent": [True, False]}, "expected 1 absent flags"),
        ([], {}, "1 to 32 objectives, found 0"),
    ],
)
def test_refusals_say_what_is_wrong(gram, arguments, message):
    with pytest.raises(ValueError, match=message):
        solve(gram, **arguments)


def test_arrays_are_taken_as_they_are():
    class Array(list):
        def tolist(self):
            return [list(row) for row in self]

    assert solve(Array(GRAM)) == solve(GRAM) == solve(tuple(map(tuple, GRAM)))


def test_cosines():
    rows = cosines([[4.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert rows == [[1.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_the_package_imports_neither_torch_nor_numpy():
    code = "import sys, fairhuman_fairness; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
