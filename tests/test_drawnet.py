"""The backbone in the box: its file, its shapes, and where it takes the place of another."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from ad_models import create, weights
from ad_models.drawnet import WEIGHTS, WIDTHS, Drawnet
from ad_models.features import Pyramid
from ad_models.weight_files import DRAWNET, _lately, lacks_imagenet

LAYERS = ("layer1", "layer2", "layer3")


def test_the_file_is_small_and_of_this_network():
    assert WEIGHTS.stat().st_size < 1_000_000
    with safe_open(WEIGHTS, "pt") as file:
        assert "drawn products" in json.dumps(file.metadata())
        held = {name: tuple(file.get_tensor(name).shape) for name in file.keys()}  # noqa: SIM118
    wanted = {
        name: tuple(value.shape)
        for name, value in Drawnet().state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert held == wanted


def test_a_pyramid_of_it_needs_no_file_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(tmp_path))  # weights of other networks
    pyramid = Pyramid(DRAWNET, LAYERS, "imagenet")
    assert pyramid.channels == list(WIDTHS)
    assert pyramid.source.startswith("drawn pictures, drawnet.safetensors sha256:")
    maps = pyramid(torch.randn(1, 3, 96, 64))
    assert [tuple(one.shape[2:]) for one in maps] == [(24, 16), (12, 8), (6, 4)]


def test_folding_changes_nothing():
    images = torch.randn(2, 3, 64, 64)
    folded, plain = (Pyramid(DRAWNET, LAYERS, "imagenet", folded) for folded in (True, False))
    assert not any(isinstance(one, torch.nn.BatchNorm2d) for one in folded.modules())
    for one, other in zip(folded(images), plain(images), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["padim", "patchcore"])
def test_auto_takes_it_where_imagenet_weights_are_out_of_reach(algorithm, monkeypatch):
    monkeypatch.delenv("INSPECTLINE_WEIGHTS", raising=False)
    monkeypatch.setattr(weights, "lacks_imagenet", lambda backbone: True)
    dims = {"dims": 50} if algorithm == "padim" else {}
    detector = create(algorithm, backbone="resnet18", weights="auto", **dims)
    assert detector.config.backbone == DRAWNET and detector.weights.startswith("drawn pictures")
    assert create(algorithm, backbone="resnet18", weights="random", **dims).weights == "random"


def test_an_algorithm_that_cannot_use_it_keeps_its_backbone(monkeypatch):
    monkeypatch.delenv("INSPECTLINE_WEIGHTS", raising=False)
    monkeypatch.setattr(weights, "lacks_imagenet", lambda backbone: True)
    config = create("reverse_distillation", backbone="resnet18", weights="auto").config
    assert config.backbone == "resnet18"


def test_auto_keeps_a_backbone_that_is_in_reach(monkeypatch):
    monkeypatch.setattr(weights, "lacks_imagenet", lambda backbone: False)
    config = create("padim", backbone="resnet18", dims=50, weights="random").config
    assert weights.in_reach(config) == config
    asked = replace(config, weights="auto")
    assert weights.in_reach(asked) == asked


def test_a_place_that_a_person_named_is_not_passed_over(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        "ad_models.weight_files._lately", lambda url, period: asked.append(url) or "refused"
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert lacks_imagenet("resnet18")
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(tmp_path))
    assert not lacks_imagenet("resnet18")
    monkeypatch.delenv("INSPECTLINE_WEIGHTS")
    kept = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert not lacks_imagenet("resnet18") and lacks_imagenet("resnet50")
    assert len(asked) == 2  # what is here needs no look


def test_a_host_is_looked_at_once_for_all_who_ask(monkeypatch):
    asked = []
    monkeypatch.setattr("ad_models.weight_files.unreachable", lambda url: asked.append(url) or "no")
    _lately.cache_clear()
    try:
        assert [_lately("https://one", 1) for _ in range(5)] == ["no"] * 5 and len(asked) == 1
        assert _lately("https://one", 2) == "no" and len(asked) == 2
    finally:
        _lately.cache_clear()


def test_a_fitted_one_is_read_again_as_it_was(monkeypatch, tmp_path):
    from ad_models import load

    monkeypatch.delenv("INSPECTLINE_WEIGHTS", raising=False)
    monkeypatch.setattr(weights, "lacks_imagenet", lambda backbone: True)
    detector = create("padim", backbone="resnet18", dims=20, weights="auto")
    images = torch.rand(4, 3, 64, 64)
    detector.fit([_batch(images)])
    detector.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert again.weights == detector.weights and again.config == detector.config
    assert torch.equal(again.predict(images).score, detector.predict(images).score)


def _batch(images):
    from ad_models import Batch

    return Batch(image=images)
