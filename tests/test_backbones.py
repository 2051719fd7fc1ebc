"""Backbones by name: torchvision's, and timm's with the tag of their weights."""

import pytest
import torch
from safetensors.torch import save_file

from ad_models.errors import ConfigError, WeightsError
from ad_models.features import Pyramid
from ad_models.weight_files import file_names
from ad_models.weights import ENVIRONMENT

LAYERS = ("layer1", "layer2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with torchvision's weights of a ResNet-18, drawn ones."""
    torch.manual_seed(5)
    net = Pyramid("resnet18", LAYERS, "random", folded=False).net
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state, tmp_path / "resnet18-f37072fd.safetensors")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path))
    return tmp_path


def test_torchvision_s_weights_give_the_same_features_by_both_names(folder):
    images = torch.randn(2, 3, 64, 96)
    ours, theirs = (Pyramid(name, LAYERS) for name in ("resnet18", "resnet18.tv_in1k"))
    for one, other in zip(ours(images), theirs(images), strict=True):
        torch.testing.assert_close(one, other)


def test_weights_of_another_tag_are_never_taken_for_these(folder):
    with pytest.raises(WeightsError, match=r"no weights for resnet18\.a1_in1k.*a file named"):
        Pyramid("resnet18.a1_in1k", LAYERS)
    (folder / "resnet18-f37072fd.safetensors").rename(folder / "resnet18.a1_in1k.safetensors")
    assert "resnet18.a1_in1k.safetensors" in Pyramid("resnet18.a1_in1k", LAYERS).source
    with pytest.raises(WeightsError, match=r"no weights for resnet18\.tv_in1k"):
        Pyramid("resnet18.tv_in1k", LAYERS)


def test_file_names_drop_a_tag_only_where_it_says_all():
    assert file_names("resnet18.tv_in1k") == ("resnet18.tv_in1k", "resnet18")
    assert file_names("resnet18.a1_in1k") == ("resnet18.a1_in1k",)
    assert "vit_small_patch14_dinov2" in file_names("vit_small_patch14_dinov2.lvd142m")


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("efficientnet_b0.ra_in1k", ("blocks.0", "blocks.1")),
        ("convnext_atto.d2_in1k", ("stages.1",)),
    ],
)
def test_other_networks_of_timm_are_cut_and_folded_without_a_change(name, layers):
    images = torch.randn(1, 3, 64, 64)
    torch.manual_seed(0)
    folded = Pyramid(name, layers, "random")
    torch.manual_seed(0)
    for one, other in zip(
        folded(images), Pyramid(name, layers, "random", folded=False)(images), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnetv2_50", "take one: resnetv2_50.a1h_in1k"),
        ("resnet18.a9", "neither torchvision nor timm has a backbone"),
        ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "normalised by mean"),
        ("vit_small_patch14_dinov2.lvd142m", "anomalydino"),
    ],
)
def test_what_cannot_be_a_backbone_says_why(name, said):
    layers = ("blocks.1",) if name.startswith("vit") else LAYERS
    with pytest.raises(ConfigError, match=said):
        Pyramid(name, layers, "random")
