from functools import partial

import pytest
import torch
from sklearn.metrics import roc_auc_score

from ad_models import Batch, create
from ad_models.algorithms.fastflow import subnet
from ad_models.errors import ConfigError
from ad_models.flows import chain
from tests.algorithms.weaves import squares, weave


def detector(**more):
    return create("fastflow", backbone="drawnet", weights="random", **{"steps": 2} | more)


@pytest.mark.parametrize(
    ("channels", "kernels", "millions"),
    [((64, 128, 256), (3,), 4.66), ((256, 512, 1024), (3, 1), 41.3)],
)
def test_flows_have_the_size_of_the_public_models(channels, kernels, millions):
    subnets = [partial(subnet, side=kernels[i % len(kernels)], hidden=1.0) for i in range(8)]
    with torch.device("meta"):  # no numbers are needed
        flows = [chain(count, subnets, clamp=2.0) for count in channels]
    found = sum(p.numel() for flow in flows for p in flow.parameters())
    assert found / 1e6 == pytest.approx(millions, abs=0.05)


def test_kernels_take_turns():
    sides = [
        {layer.kernel_size[0] for layer in step.subnet if hasattr(layer, "kernel_size")}
        for step in detector(steps=5, kernels=[3, 1]).flows[0]
    ]
    assert sides == [{3}, {1}, {3}, {1}, {3}]


def test_map_is_one_minus_the_mean_likelihood_of_the_scales():
    model = detector().eval()
    z = [torch.randn(2, 4, 64, 64), torch.randn(2, 8, 32, 32), torch.randn(2, 16, 8, 8)]
    model.transform = lambda _: [(part, torch.zeros(2)) for part in z]
    maps = model(torch.zeros(2, 3, 64, 64)).map
    assert maps.min() >= 0 and maps.max() <= 1
    up = torch.nn.Upsample(size=(64, 64), mode="bilinear")
    likely = [up(torch.exp(-0.5 * (part**2).mean(1, keepdim=True))) for part in z]
    torch.testing.assert_close(maps, 1 - sum(likely) / 3)
    z[2][0, :, 5, 5] *= 3
    changed = model(torch.zeros(2, 3, 64, 64)).map
    where = (changed - maps)[0, 0].argmax().item()
    assert (where // 64 // 8, where % 64 // 8) == (5, 5)


def test_what_the_flows_see_is_normalised_whatever_its_scale():
    model = detector().eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = model.transform(images)
        features = model.pyramid(images)
        model.pyramid.forward = lambda _: [7 * f + 2 for f in features]
        after = model.transform(images)
    for (a, _), (b, _) in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_a_bright_square_is_found():
    model = detector(layers=["layer1", "layer2"], kernels=[3], epochs=6)
    model.fit([Batch(weave(8, seed)) for seed in range(4)])
    images, masks = squares(weave(32, 10))
    score, maps = model.predict(images)
    assert roc_auc_score(masks.flatten(1).any(1), score) > 0.95
    assert roc_auc_score(masks.flatten(), maps.flatten()) > 0.9


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"kernels": [2]}, {"kernels": []}, {"hidden": 0}, {"clamp": -1}]
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        detector(**wrong)
