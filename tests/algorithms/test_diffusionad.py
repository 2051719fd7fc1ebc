import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kornia.losses import binary_focal_loss_with_logits

from ad_models import Batch, create
from ad_models.denoiser import Denoiser, waves
from ad_models.diffusion import denoised, guided, noised, schedule
from ad_models.errors import ConfigError
from ad_models.pixels import unit
from ad_models.synthetic import Textures
from tests.algorithms.painted import aurocs, batches
from tests.algorithms.strokes import discs

TINY = {"size": 32, "widths": (8, 16), "blocks": 1, "attention": (16,), "heads": 1}
TINY |= {"marker": (8, 16), "top": 5}


def tiny(**more):
    return create("diffusionad", **TINY | more)


def test_schedule_against_a_loop():
    kept, left = schedule(), 1.0
    assert (kept.diff() < 0).all()
    for step in range(1000):
        left *= 1 - (1e-4 + (0.02 - 1e-4) * step / 999)
        assert kept[step].item() == pytest.approx(left, rel=1e-5)
    for step, noise in [(200, 0.586), (300, 0.778), (400, 0.898), (600, 0.987)]:
        assert math.sqrt(1 - kept[step].item()) == pytest.approx(noise, abs=1e-3)


def test_noise_is_added_step_by_step():
    """Equation 4 of Ho et al. is what many small steps, equation 2, come to."""
    added = np.linspace(1e-4, 0.02, 1000)[:100]
    mean, variance = 0.7, 0.0
    for beta in added:
        mean, variance = mean * math.sqrt(1 - beta), variance * (1 - beta) + beta
    torch.manual_seed(0)
    x = noised(torch.full((200_000,), 0.7), torch.randn(200_000), schedule()[99])
    assert x.mean().item() == pytest.approx(mean, abs=0.01)
    assert x.var().item() == pytest.approx(variance, rel=0.02)


def case():
    torch.manual_seed(0)
    image, noise, other = torch.randn(3, 2, 3, 8, 8, dtype=torch.float64)
    return image, noise, other, schedule().double()[[200, 20]].view(2, 1, 1, 1)


def test_the_true_noise_gives_the_image_back():
    image, noise, _, kept = case()
    torch.testing.assert_close(denoised(noised(image, noise, kept), noise, kept), image)


def test_guidance_corrects_the_noise_as_the_paper_says():
    torch.manual_seed(0)
    images, noise, coarse = torch.rand(3, 2, 3, 8, 8, dtype=torch.float64)
    kept = schedule().double()[torch.tensor([100, 300])].view(2, 1, 1, 1)
    noisy = noised(images, noise, kept)
    there = noised(coarse, noise, kept)
    for weight in (0.0, 0.7, 1.0):
        corrected = noise - weight * (1 - kept).sqrt() * (there - noisy)
        expected = denoised(noisy, corrected, kept)
        found = guided(noisy, noise, kept, coarse, weight)
        torch.testing.assert_close(found, expected)


def test_the_denoiser_has_the_official_size():
    with torch.device("meta"):
        net = Denoiser(256, (128, 128, 256, 256, 512, 512), 2, (32, 16, 8), 4)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == 131.7


def denoiser():
    torch.manual_seed(0)
    return Denoiser(16, (8, 16), 1, (8,), 2)


def test_the_denoiser_starts_with_no_noise_then_hears_the_step():
    net, x = denoiser(), torch.randn(2, 3, 16, 16)
    steps = torch.tensor([3, 700])
    with torch.no_grad():
        assert torch.equal(net(x, steps), torch.zeros_like(x))
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
        out = net(x, steps)
        assert not torch.allclose(out, net(x, steps.flip(0)), atol=1e-3)
        torch.testing.assert_close(out[1:], net(x[1:], steps[1:]))  # alone as in a batch
    assert out.shape == x.shape


def test_waves_against_their_formula():
    out = waves(torch.tensor([0, 5, 999]), 6)
    for row, step in enumerate([0, 5, 999]):
        rates = [10_000 ** (-i / 3) for i in range(3)]
        expected = [math.cos(step * r) for r in rates] + [math.sin(step * r) for r in rates]
        np.testing.assert_allclose(out[row].numpy(), expected, atol=1e-3)


def oracle(model, noise):
    """A denoiser that knows what was added."""
    model.denoiser.forward = lambda noisy, steps: torch.cat([*noise])


def test_a_perfect_denoiser_rebuilds_the_image():
    model, images = tiny(), torch.rand(2, 3, 32, 32)
    noise = torch.randn(2, *images.shape)
    oracle(model, noise)
    steps = torch.tensor([[200, 10], [400, 300]])
    rebuilt, found_noise = model.rebuild(images, noise, steps)
    torch.testing.assert_close(rebuilt, images, atol=1e-5, rtol=0)
    assert torch.equal(found_noise, noise)


def test_rebuilding_against_the_equations():
    model, images = tiny(guidance=0.7), torch.rand(2, 3, 32, 32)
    noise, guess = torch.randn(2, 2, 3, 32, 32), 0.3 * torch.randn(2, 2, 3, 32, 32)
    oracle(model, guess)
    steps = torch.tensor([[200, 10], [400, 300]])
    rebuilt, _ = model.rebuild(images, noise, steps)
    for i in range(2):
        a, b = schedule()[steps[:, i]]
        little, much = (
            k.sqrt() * images[i] + (1 - k).sqrt() * noise[j, i] for j, k in enumerate((a, b))
        )
        coarse = ((much - (1 - b).sqrt() * guess[1, i]) / b.sqrt()).clamp(-1, 1)
        fine = (little - (1 - a).sqrt() * guess[0, i]) / a.sqrt()
        expected = (fine + 0.7 * (1 - a) * (coarse - fine)).clamp(-1, 1)
        torch.testing.assert_close(rebuilt[i], expected, atol=1e-4, rtol=1e-4)


def test_steps_of_little_and_of_much_noise():
    torch.manual_seed(0)
    little, much = tiny().draw(20_000)
    assert (little.min(), little.max()) == (0, 299)
    assert (much.min(), much.max()) == (300, 999)


def test_marking_against_kornia():
    torch.manual_seed(0)
    logits, masks = 3 * torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) > 0.7).float()
    focal = binary_focal_loss_with_logits(logits, masks, alpha=0.5, gamma=4.0, reduction="mean")
    expected = 5 * focal + F.smooth_l1_loss(logits.sigmoid(), masks)
    torch.testing.assert_close(tiny().marking(logits, masks), expected)


def test_spoiled_images_are_good_outside_their_masks():
    torch.manual_seed(0)
    images = discs(8, 0, 32)
    spoiled, masks = tiny().spoil(images, Textures())
    changed = (spoiled - unit(images)).abs().amax(1, keepdim=True)
    assert changed[masks == 0].max() == 0 and changed[masks > 0].mean() > 0.02
    _, none = tiny(spoiled=0.0).spoil(images, Textures())
    assert none.max() == 0


@pytest.mark.parametrize("spoiled", [0.0, 1.0])
def test_only_good_images_teach_denoising(spoiled):
    """Without any, the denoiser has nothing to answer for but the marks."""
    model = tiny(spoiled=spoiled, epochs=2)
    model.marking = lambda logits, masks: 0 * logits.sum()
    model.fit([Batch(discs(4, 0, 32))])
    moved = model.denoiser.last[-1].weight.abs().max()
    assert (moved > 0) == (spoiled == 0)


def test_score_is_the_mean_of_the_highest_pixels():
    model = tiny(top=3)
    values = torch.linspace(-4, 4, 32 * 32).view(1, 1, 32, 32)
    model.mark = lambda images, rebuilt: values
    score, maps = model.eval()(discs(1, 0, 32))
    torch.testing.assert_close(maps, values.sigmoid())
    assert score.item() == pytest.approx(values.flatten()[-3:].sigmoid().mean().item())


def test_noise_of_predictions_belongs_to_the_model():
    a, b, other = tiny(), tiny(), tiny(seed=1)
    assert torch.equal(a.noise, b.noise) and not torch.equal(a.noise, other.noise)
    assert "noise" in a.state_dict() and not torch.equal(a.noise[0], a.noise[1])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("size", 33),
        ("widths", (8, 9)),
        ("marker", (8,)),
        ("boundary", 0),
        ("little", 400),
        ("much", 1000),
        ("top", 0),
    ],
)
def test_out_of_range(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        tiny(**{parameter: value})


@pytest.mark.slow
def test_solves_a_painted_defect():
    more = {"size": 16, "attention": (), "marker": (16, 32), "top": 3, "epochs": 50}
    more |= {"gamma": 1.0, "spoiled": 0.75, "own": 0.0, "lr": 2e-3, "marker_lr": 1e-2}
    image, pixel = aurocs(tiny(**more).fit(batches()))
    assert image > 0.95 and pixel > 0.9
