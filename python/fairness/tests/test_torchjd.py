"""Beside TorchJD: the same directions as its FairGrad, and the interface of its aggregators."""

import pytest

torch = pytest.importorskip("torch")
torchjd = pytest.importorskip("torchjd")
pytest.importorskip("scipy")

from torchjd import autojac
from torchjd.aggregation import IMTLG, MGDA, AlignedMTL, FairGrad
from torchjd.autogram import Engine

from fairhuman_fairness.torch import Aggregator, Weighting


def jacobians():
    generator = torch.Generator().manual_seed(0)
    for k in (2, 3, 5):
        for _ in range(20):
            # Norms over one order of magnitude, angles on both sides of 90 degrees.
            norms = 10 ** (torch.rand(k, 1, generator=generator, dtype=torch.float64) - 0.5)
            yield norms * torch.randn(k, 8, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fairgrad_has_the_same_direction(alpha):
    ours, theirs = Aggregator("alpha-fair", alpha=alpha), FairGrad(alpha)
    for matrix in jacobians():
        vector, reference = ours(matrix), theirs(matrix)
        assert torch.allclose(vector, reference, rtol=1e-6, atol=1e-6 * reference.norm().item())
        gram, weights = matrix @ matrix.T, torch.tensor(ours.weighting.solution.weights, dtype=torch.float64)
        assert torch.allclose(gram @ weights, weights ** (-1 / alpha), rtol=1e-9)


@pytest.mark.parametrize(
    ("ours", "theirs", "close"),
    [
        (Aggregator("aligned-mtl"), AlignedMTL(), 1e-6),
        (Aggregator("imtl-g"), IMTLG(), 1e-6),
        # It stops at a gap of 1e-3.
        (Aggregator("mgda"), MGDA(max_iters=10_000), 0.02),
    ],
)
def test_other_methods_have_the_same_direction(ours, theirs, close):
    for matrix in jacobians():
        vector, reference = ours(matrix), theirs(matrix)
        # IMTL-G's weights are divided by another sum; a vector of MGDA may be almost zero.
        scale = 1.0 if isinstance(theirs, MGDA) else (vector.norm() / reference.norm()).item()
        assert torch.allclose(vector, scale * reference, atol=close * matrix.norm().item())


def test_jac_to_grad_takes_our_aggregator():
    torch.manual_seed(0)
    net, inputs = torch.nn.Linear(4, 3), torch.randn(6, 4)
    losses = net(inputs).square().mean(0) * torch.tensor([1.0, 0.1, 0.01])
    autojac.backward(list(losses), retain_graph=True)
    jacobian = torch.cat([param.jac.flatten(1) for param in net.parameters()], 1)
    aggregator = Aggregator("alpha-fair", alpha=2.0)
    autojac.jac_to_grad(net.parameters(), aggregator)
    assert torch.allclose(torch.cat([param.grad.flatten() for param in net.parameters()]), aggregator(jacobian))


def test_the_engine_takes_our_weighting():
    torch.manual_seed(0)
    net, inputs = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)), torch.randn(6, 4)
    engine = Engine(net, batch_dim=0)
    losses = net(inputs).squeeze(1).square()
    weights = Weighting("alpha-fair")(engine.compute_gramian(losses))
    losses.backward(weights)
    assert weights.shape == (6,) and (weights > 0).all()
