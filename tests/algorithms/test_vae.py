import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ad_models import create
from ad_models.errors import ConfigError
from ad_models.gaussian_code import divergence, sample, split, surprise
from tests.algorithms.strokes import batches, found

SMALL = {"side": 64, "code": 16, "width": 8, "lr": 3e-3, "batches": 4}


def test_painted_strokes_are_found():
    at = found(create("vae", **SMALL, epochs=40).fit(batches()))
    assert at.image > 0.95 and at.pixel > 0.9


def test_divergence_equals_torch_distributions():
    mean, log_variance = torch.randn(2, 5, 7, 1, 1, dtype=torch.float64)
    each = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(divergence(mean, log_variance), each.sum(dim=(1, 2, 3)))
    assert torch.equal(divergence(torch.zeros(2, 3), torch.zeros(2, 3)), torch.zeros(2))


def test_samples_have_the_mean_and_variance_asked_for():
    torch.manual_seed(0)
    draws = sample(torch.full((100_000, 1), 1.5), torch.full((100_000, 1), -1.0))
    assert draws.mean().item() == pytest.approx(1.5, abs=0.01)
    assert draws.var().log().item() == pytest.approx(-1.0, abs=0.02)


def test_gradients_reach_mean_and_variance():
    out = torch.randn(2, 8, 1, 1, requires_grad=True)
    sample(*split(out)).square().sum().backward()
    assert out.grad is not None and (out.grad != 0).all()


def test_surprise_is_the_gaussian_s_at_its_best_variance():
    x, rebuilt = torch.rand(2, 3, 3, 8, 8, dtype=torch.float64)
    variances = torch.linspace(0.01, 1, 2000, dtype=torch.float64)
    each = [-Normal(rebuilt, v.sqrt()).log_prob(x).sum(dim=(1, 2, 3)).mean() for v in variances]
    assert surprise(x, rebuilt).item() == pytest.approx(min(each).item(), rel=1e-4)


def test_a_perfect_copy_has_no_residual(monkeypatch):
    model = create("vae", **SMALL)
    views = torch.rand(1, 3, 64, 64)
    monkeypatch.setattr(model.decoder, "forward", lambda code: views)
    assert torch.equal(model.residual(views), torch.zeros(1, 1, 64, 64))


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"code": 0}, {"side": 100}, {"stride": 0}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("vae", **wrong)
