"""Tables for the terminal."""

from flows.tables import made_with
from tasks.documents.metrics import Metrics


def test_how_a_model_was_made_is_short():
    long = "vit_small_patch14_reg4_dinov2.lvd142m"
    assert made_with(Metrics(preset="quick", steps=300, backbone=long)) == (
        "quick, 300 steps, vit_small"
    )
    assert made_with(Metrics(preset="paper", backbone="resnet18")) == "paper, resnet18"
    sized = Metrics(preset="quick", image_size="256 px", steps=300)
    assert made_with(sized) == "quick, 256 px, 300 steps"
    other = Metrics(preset="paper, at 256 px (paper: 512 px)", image_size="256 px")
    assert made_with(other) == "paper, at 256 px (paper: 512 px)"
    own = "paper, backbone vit_small_patch14_dinov2.lvd142m, at 256 px (paper: 448 px)"
    assert made_with(Metrics(preset=own, steps=7)) == (
        "paper, backbone vit_small, at 256 px (paper: 448 px), 7 steps"
    )
    assert made_with(Metrics()) == "-"
