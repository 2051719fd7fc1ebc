"""Convolutional networks by name: torchvision's, timm's with the tag of their weights, or our own.

timm has several weights of one network, which give other features. So its names need their tag:
`resnet18.tv_in1k` has the weights of torchvision, `resnet18.a1_in1k` others. timm is imported where
such a name is used.
"""

from torch import nn
from torchvision import models

from ad_models.drawnet import Drawnet
from ad_models.errors import ConfigError
from ad_models.imagenet import MEAN, STD
from ad_models.weight_files import DRAWNET

NAMED = 8  # weights that an error names


def is_tagged(backbone: str) -> bool:
    """Whether it is a name of timm."""
    return "." in backbone


def network(backbone: str) -> nn.Module:
    """The whole network with random weights."""
    if backbone == DRAWNET:
        return Drawnet()
    if backbone in models.list_models(module=models):
        return models.get_model(backbone, weights=None)
    import timm

    if backbone in timm.list_models():
        known = ", ".join(timm.list_pretrained(f"{backbone}.*")[:NAMED])
        raise ConfigError(f"timm has weights of {backbone} by several names; take one: {known}")
    if not is_tagged(backbone) or backbone not in timm.list_pretrained():
        raise ConfigError(
            f"neither torchvision nor timm has a backbone '{backbone}'; resnet18 is the "
            f"usual one, {DRAWNET} the one that needs no download"
        )
    about = timm.get_pretrained_cfg(backbone)
    if about is not None and (tuple(about.mean), tuple(about.std)) != (MEAN, STD):
        raise ConfigError(
            f"{backbone} expects images that are normalised by mean {about.mean} and deviation "
            f"{about.std}, and ours are by ImageNet's; take a backbone of ImageNet's"
        )
    net = timm.create_model(backbone, pretrained=False)
    if hasattr(net, "patch_embed"):
        raise ConfigError(
            f"{backbone} is a vision transformer, which gives no feature maps of several sizes; "
            "anomalydino, subspacead and dinomaly read images through one"
        )
    return net


def licence(backbone: str) -> str:
    """The licence of the weights of a name of timm."""
    import timm

    about = timm.get_pretrained_cfg(backbone)
    return (about and about.license) or "unknown"
