"""The one embedding of PatchCore, PNI, ReConPatch and SimpleNet."""

import pytest
import torch
import torch.nn.functional as F

from ad_models import Batch, create, load
from ad_models.errors import CheckpointError
from ad_models.patches import PatchEmbedding


def official(pyramid, side, dims):
    """PatchCore's code, step by step: windows, the first grid, `dims` of each layer, `dims` of all.

    Its second step sees the layers one after another, (B * P, layers * dims).
    """
    grid = pyramid[0].shape[-2:]
    layers = []
    for features in pyramid:
        windows = F.unfold(features, side, padding=side // 2)  # (B, C * side^2, h * w)
        windows = windows.unflatten(2, features.shape[-2:])
        resized = F.interpolate(windows, grid, mode="bilinear", align_corners=False)
        flat = resized.flatten(2).mT.flatten(0, 1)  # (B * P, C * side^2)
        layers.append(F.adaptive_avg_pool1d(flat[:, None], dims)[:, 0])
    joined = torch.stack(layers, dim=1).flatten(1)
    return F.adaptive_avg_pool1d(joined[:, None], dims)[:, 0].unflatten(0, (-1, grid.numel()))


@pytest.mark.parametrize(
    ("channels", "side", "each"),
    [
        ((512, 1024), 3, 512),  # PatchCore
        ((512, 1024), 5, 512),  # PNI
        ((512, 1024), 3, 768),  # SimpleNet
        ((128, 256), 3, 128),  # ResNet-18
        ((64, 128, 256), 3, 64),
        ((24, 40, 112), 3, 58),
        ((6,), 3, 6),
    ],
)
def test_patches_are_those_of_the_official_code(channels, side, each):
    pyramid = [torch.randn(2, c, 8 // 2**i, 6 // 2**i) for i, c in enumerate(channels)]
    patches, grid = PatchEmbedding(channels, side, each)(pyramid)
    assert grid == (8, 6)
    expected = official(pyramid, side, each * len(channels))
    torch.testing.assert_close(patches, expected, rtol=1e-4, atol=1e-5)


def test_the_centre_counts_twice_and_the_coarse_layer_is_averaged_in_pairs():
    pyramid = [torch.randn(1, 4, 5, 5), torch.randn(1, 8, 5, 5)]
    patches, _ = PatchEmbedding((4, 8), 3, 4)(pyramid)
    found = patches[0].mT.unflatten(1, (5, 5))[:, 2, 2]
    window, mean = pyramid[0][0, :, 1:4, 1:4], pyramid[1][0, :, 1:4, 1:4].mean((1, 2))
    fine = (window.sum((1, 2)) + window[:, 1, 1]) / 10
    torch.testing.assert_close(found, torch.cat([fine, (mean[0::2] + mean[1::2]) / 2]))


@pytest.mark.parametrize("name", ["patchcore", "pni", "reconpatch", "simplenet"])
def test_of_the_paper_s_backbone_the_dimensions_are_the_official_ones(name):
    with torch.device("meta"):
        model = create(name, weights="random")
    assert model.patches.dims == (1536 if name == "simplenet" else 1024)


def test_a_model_with_another_embedding_says_to_fit_again(tmp_path, monkeypatch):
    model = create("patchcore", backbone="drawnet", weights="random", bank_size=9)
    model.fit([Batch(torch.randn(2, 3, 64, 64))])
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("patches")}
    monkeypatch.setattr(model, "state_dict", lambda: state)  # as version 0.1 wrote it
    model.save(tmp_path / "old.safetensors")
    with pytest.raises(CheckpointError, match="patchcore of another version; fit it again"):
        load(tmp_path / "old.safetensors")
