"""All weightings from Python: parameters, needs, memory."""

import copy
import json
import math
import pickle

import pytest

from fairhuman_fairness import KINDS, Weighting, solve

GRAM = [[4.0, 0.5, -0.2], [0.5, 0.25, 0.01], [-0.2, 0.01, 0.04]]
LOSSES = [0.9, 0.5, 0.1]
ABSENT = [False, True, False]


def weighting(kind):
    return Weighting(kind, weights=[1, 5, 20]) if kind == "fixed" else Weighting(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_leaves_absent_objectives_out(kind):
    method = weighting(kind)
    for absent in ([False] * 3, ABSENT):
        solution = method.weigh(GRAM, LOSSES, absent=absent)
        assert all(math.isfinite(weight) for weight in solution.weights)
        assert all(weight == 0.0 for weight, gone in zip(solution.weights, absent) if gone)
        assert any(solution.weights) and solution.absent == tuple(absent)
    assert method.step == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_memory_survives_json_and_copies(kind):
    def step(method, losses):
        solution = method.weigh(GRAM, losses)
        method.look_back([loss * 0.9 for loss in losses])
        return solution

    method = weighting(kind)
    for i in range(5):
        step(method, [loss / (i + j + 1) for j, loss in enumerate(LOSSES)])
    again = weighting(kind)
    again.load_state_dict(json.loads(json.dumps(method.state_dict())))
    copies = [again, copy.deepcopy(method), pickle.loads(pickle.dumps(method))]
    expected = step(method, LOSSES)
    assert [step(other, LOSSES) for other in copies] == [expected] * 3


def test_alpha_fair_is_solve():
    assert Weighting().weigh(GRAM) == solve(GRAM)
    assert Weighting("alpha-fair", alpha=math.inf).weigh(GRAM) == solve(GRAM, math.inf)
    assert Weighting("alpha-fair", priority=(1, 1, 4)).weigh(GRAM) == solve(GRAM, priority=[1, 1, 4])


def test_parameters_have_their_defaults_and_stand_in_the_representation():
    method = Weighting("cagrad", c=0.25)
    assert method.parameters == {"c": 0.25}
    assert repr(method) == "Weighting('cagrad', c=0.25)"
    assert Weighting().label == "Minimum Potential Delay (alpha 2)"
    assert repr(eval(repr(Weighting("alpha-fair", alpha=math.inf)))) == "Weighting('alpha-fair', alpha='inf')"


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("nonsense", {}, "unknown variant `nonsense`.*alpha-fair"),
        ("cagrad", {"d": 1}, "unknown field `d`"),
        ("alpha-fair", {"alpha": -2.0}, "alpha is -2"),
        ("alpha-fair", {"alpha": "two"}, 'alpha is "two"'),
    ],
)
def test_unknown_kinds_and_parameters_are_refused(kind, parameters, message):
    with pytest.raises(ValueError, match=message):
        Weighting(kind, **parameters)


def test_needs_are_known_before_a_step():
    assert Weighting("famo").needs_losses_after and not Weighting("famo-ema").needs_losses_after
    assert Weighting("nash").needs_gram and not Weighting("nash").needs_losses
    assert Weighting("log").needs_losses and not Weighting("log").needs_gram
    with pytest.raises(ValueError, match="nash needs the Gram matrix"):
        Weighting("nash").weigh(losses=LOSSES)
    with pytest.raises(ValueError, match="log needs the losses"):
        Weighting("log").weigh(GRAM)
    with pytest.raises(ValueError, match="the number of objectives is not known"):
        Weighting("linear").weigh()
    solution = Weighting("linear").weigh(absent=ABSENT)
    assert solution.weights == (1.0, 0.0, 1.0) and solution.rates is None


def test_weights_by_losses_are_those_of_the_losses():
    weights = Weighting("log", loss_decay=0.0).weigh(losses=LOSSES).weights
    assert [weight / weights[0] for weight in weights] == pytest.approx([LOSSES[0] / loss for loss in LOSSES])


def test_a_refused_step_changes_no_memory():
    method = Weighting("famo-ema")
    method.weigh(losses=LOSSES)
    before = method.state_dict()
    with pytest.raises(ValueError, match='loss of "face" is -1'):
        method.weigh(losses=[1.0, -1.0, 1.0], names=["picture", "face", "hand"])
    assert method.state_dict() == before


def test_famo_learns_from_the_losses_after_a_step():
    method = Weighting("famo")
    first = method.weigh(losses=LOSSES).weights
    method.look_back([LOSSES[0] * 0.5, LOSSES[1], LOSSES[2]])
    second = method.weigh(losses=LOSSES).weights
    # The first loss fell, so that it counts less.
    assert second[0] / second[1] < first[0] / first[1]
    method.look_back(LOSSES)
    with pytest.raises(ValueError, match="look_back comes after weigh"):
        method.look_back(LOSSES)


def test_seed_and_step_alone_choose_random_weights():
    def weights(seed, steps):
        method = Weighting("rlw", seed=seed)
        return [method.weigh(GRAM).weights for _ in range(steps)]

    assert weights(1, 3) == weights(1, 3)
    assert weights(1, 1) != weights(2, 1)
    assert len(set(weights(1, 3))) == 3
