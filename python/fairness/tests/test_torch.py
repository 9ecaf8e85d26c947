"""Fair steps in PyTorch: the direction, absent losses, what is left alone, a training."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from fairhuman_fairness import Weighting, solve
from fairhuman_fairness import torch as fair


@pytest.fixture
def scene():
    """A small network and three losses of it, of very different size."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    inputs, targets = torch.randn(11, 5), torch.randn(11, 3)

    def losses():
        errors = (net(inputs) - targets).square().mean(0)
        return [errors[0], 0.1 * errors[1], 0.01 * errors[2]]

    return net, losses


def gradients(net, losses):
    rows = [torch.autograd.grad(loss, list(net.parameters()), retain_graph=True) for loss in losses]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def direction(net):
    return torch.cat([param.grad.flatten() for param in net.parameters()])


def test_the_direction_is_the_fair_combination_of_the_gradients(scene):
    net, losses = scene
    rows = gradients(net, losses()).double()
    solution = fair.fair_backward(losses(), net.parameters())
    assert solution.weights == pytest.approx(solve(rows @ rows.T).weights, rel=1e-6)
    expected = torch.tensor(solution.combination, dtype=torch.float64) @ rows
    assert torch.allclose(direction(net).double(), expected, rtol=1e-5, atol=1e-6)


def test_absent_losses_have_weight_0(scene):
    net, losses = scene
    first, _, third = losses()
    two = fair.fair_backward([first, third], net.parameters())
    for absent in (lambda loss: None, lambda loss: torch.tensor(3.0), lambda loss: 0.0 * loss):
        net.zero_grad()
        first, second, third = losses()
        solution = fair.fair_backward({"picture": first, "face": absent(second), "hand": third}, net.parameters())
        assert solution.weights[1] == 0.0 and solution.absent == (False, True, False)
        assert [solution.weights[0], solution.weights[2]] == pytest.approx(two.weights, rel=1e-9)


def test_nothing_to_step_along_changes_no_gradient(scene):
    net, _ = scene
    assert fair.fair_backward([None, torch.tensor(1.0)], net.parameters()).outcome == "all-absent"
    assert all(param.grad is None for param in net.parameters())


def test_gradients_accumulate_and_parameters_without_one_stay_so(scene):
    net, losses = scene
    net[0].weight.requires_grad_(False)
    unused = torch.nn.Parameter(torch.ones(2))
    params = [*net.parameters(), unused]
    fair.fair_backward(losses(), params)
    once = net[2].weight.grad.clone()
    fair.fair_backward(losses(), params)
    assert torch.allclose(net[2].weight.grad, 2 * once)
    assert net[0].weight.grad is None and unused.grad is None


def test_a_gradient_that_is_not_finite_is_refused_by_name_and_leaves_everything(scene):
    net, losses = scene
    first, second, _ = losses()
    method = Weighting("nash")
    with pytest.raises(ValueError, match='the gradient of "hand" is not finite'):
        fair.fair_backward({"picture": first, "hand": second * math.nan}, net.parameters(), weighting=method)
    assert all(param.grad is None for param in net.parameters()) and method.step == 0


def test_the_graph_is_kept_on_request_alone(scene):
    net, losses = scene
    kept = losses()
    fair.fair_backward(kept, net.parameters(), retain_graph=True)
    fair.fair_backward(kept, net.parameters())
    with pytest.raises(RuntimeError):
        fair.fair_backward(kept, net.parameters())


def test_no_parameter_is_an_error(scene):
    net, losses = scene
    kept = losses()
    with pytest.raises(ValueError, match="no parameter needs a gradient"):
        fair.fair_backward(kept, net.requires_grad_(False).parameters())


def test_other_weightings_read_the_losses(scene):
    net, losses = scene
    method = Weighting("log", loss_decay=0.0)
    solution = fair.fair_backward(losses(), net.parameters(), weighting=method)
    assert solution.weights[1] / solution.weights[0] == pytest.approx(losses()[0].item() / losses()[1].item(), rel=1e-5)


def test_pieces_do_not_change_the_gramian(scene, monkeypatch):
    net, losses = scene
    rows = gradients(net, losses())
    whole = fair.gramian([[row, None] for row in rows])
    monkeypatch.setattr(fair, "_PIECE", 7)
    assert torch.allclose(fair.gramian([[row, None] for row in rows]), whole, rtol=1e-14)
    assert torch.allclose(whole, rows.double() @ rows.double().T, rtol=1e-14)
    assert fair.gramian([[None, rows[0]], [rows[1], None]]).diag().count_nonzero() == 2


def test_a_gramian_in_float32_of_collinear_gradients_is_taken(scene):
    torch.manual_seed(1)
    weighting = fair.Weighting("alpha-fair", alpha=1.0)
    for _ in range(50):
        row = torch.randn(10_000)
        rows = torch.stack([row, 3 * row, row + 1e-4 * torch.randn(10_000)])
        weights = weighting(rows @ rows.T)
        assert weights.dtype == torch.float32 and (weights > 0).all()
    with pytest.raises(ValueError, match="symmetric"):
        weighting(torch.tensor([[1.0, 0.5], [0.4, 1.0]]))


def test_the_aggregator_is_the_weighted_sum_of_the_rows():
    matrix = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    for factor in (False, True):
        aggregator = fair.Aggregator("cagrad", c=0.4, factor=factor)
        vector = aggregator(matrix)
        solution = aggregator.weighting.solution
        weights = solution.combination if factor else solution.weights
        assert torch.allclose(vector, torch.tensor(weights, dtype=torch.float32) @ matrix)
    with pytest.raises(ValueError, match="K x n"):
        aggregator(matrix[0])
    with pytest.raises(ValueError, match="use fair_backward"):
        fair.Aggregator("dwa")


def test_modules_are_copied_and_saved_with_their_memory():
    aggregator = fair.Aggregator("rlw", seed=3)
    matrix = torch.eye(3)
    aggregator(matrix)
    copied = copy.deepcopy(aggregator)
    loaded = fair.Aggregator("rlw", seed=3)
    loaded.load_state_dict(aggregator.state_dict())
    expected = aggregator(matrix)
    assert torch.equal(copied(matrix), expected) and torch.equal(loaded(matrix), expected)


def train(alpha):
    """Relative losses of two regressions by one hidden layer, of which one has a hundredth of the scale."""
    torch.manual_seed(0)
    inputs = torch.randn(64, 8)
    targets = torch.stack([torch.sin(inputs @ torch.randn(8)), torch.cos(inputs @ torch.randn(8))], 1)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def errors():
        return (net(inputs) - targets).square().mean(0)

    start = errors().detach()
    for _ in range(300):
        large, small = errors()
        optimizer.zero_grad()
        fair.fair_backward({"large": large, "small": 0.01 * small}, net.parameters(), alpha)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    return (errors().detach() / start).tolist()


def test_a_training_serves_the_small_loss_too():
    plain, proportional = train(0.0), train(1.0)
    # The plain sum moves the large loss alone. Proportional fairness does not see the scale of a loss.
    assert plain[0] < 0.6 and plain[1] > 0.9
    assert max(proportional) < 0.7
