"""A frozen backbone without its batch norms gives the same features, and reads what had them."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ad_models import Batch, create, load
from ad_models.features import Pyramid
from ad_models.folding import fold, foldable

BACKBONES = {
    "resnet18": ("layer1", "layer3"),
    "wide_resnet50_2": ("layer1",),
    "vgg11_bn": ("features.7",),
    "efficientnet_b0": ("features.2", "features.3"),
    "regnet_y_400mf": ("trunk_output.block1",),
    "shufflenet_v2_x0_5": ("stage2",),
    "densenet121": ("features.denseblock1", "features.denseblock2"),
    "swin_t": ("features.1",),
}


def norms(net):
    return [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]


def moved(net):
    """Statistics as after training: batch norms of a new network do nothing."""
    for norm in norms(net):
        for value in (norm.weight, norm.running_var):
            nn.init.uniform_(value, 0.5, 1.5)
        for value in (norm.bias, norm.running_mean):
            nn.init.normal_(value, std=0.2)
    return net


def weights_of(backbone, path):
    plain = moved(Pyramid(backbone, BACKBONES[backbone], "random", folded=False))
    torch.save(plain.net.state_dict(), path)
    return plain


@pytest.mark.parametrize("backbone", BACKBONES)
def test_folded_features_are_the_same(backbone, tmp_path):
    plain = weights_of(backbone, tmp_path / "weights.pth")
    quick = Pyramid(backbone, BACKBONES[backbone], str(tmp_path / "weights.pth"))
    assert bool(norms(quick)) == (backbone == "densenet121")  # its norms stand before convolutions
    images = torch.randn(2, 3, 96, 64)
    for one, other in zip(quick(images), plain(images), strict=True):
        assert float((one - other).abs().max()) < 1e-4 * float(other.abs().max())


def test_a_state_with_batch_norms_is_folded_when_it_is_read(tmp_path):
    plain = weights_of("resnet18", tmp_path / "weights.pth")
    quick = Pyramid("resnet18", BACKBONES["resnet18"], "random")
    quick.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for one, other in zip(quick(images), plain(images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    again = Pyramid("resnet18", BACKBONES["resnet18"], "random")
    again.load_state_dict(quick.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(again(images), quick(images), strict=True))


def test_a_model_saved_with_batch_norms_is_read(tmp_path):
    weights = tmp_path / "weights.pth"
    layers = ("layer1", "layer2")
    plain = moved(Pyramid("resnet18", layers, "random", folded=False))
    torch.save(plain.net.state_dict(), weights)
    given = {"backbone": "resnet18", "layers": layers, "dims": 8, "weights": str(weights)}
    detector = create("padim", **given).fit([Batch(torch.randn(4, 3, 32, 32))])
    new, old = tmp_path / "new.safetensors", tmp_path / "old.safetensors"
    detector.save(new)
    state = {k: v for k, v in load_file(new).items() if not k.startswith("pyramid.")}
    state |= {f"pyramid.{k}": v for k, v in plain.state_dict().items()}
    from safetensors import safe_open

    with safe_open(new, framework="pt") as file:
        save_file({k: v.contiguous() for k, v in state.items()}, old, metadata=file.metadata())
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(load(old).predict(images), detector.predict(images))


def test_norms_elsewhere_stay():
    class Crossed(nn.Module):
        """Registers its parts in another order than it runs them."""

        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.second = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.norm(self.second(self.first(x)).relu())

    net = Crossed().eval()
    assert foldable(net, lambda net, images: [net(images)]) == ()
    fold(net, ())


def test_random_numbers_of_the_caller_stay():
    from ad_models.features import PAIRS

    PAIRS.clear()
    drawn = []
    for _ in range(2):  # the second finds the pairs known
        torch.manual_seed(3)
        Pyramid("resnet18", ("layer1",), "random")
        drawn.append(torch.rand(1))
    assert torch.equal(*drawn)
