"""How fast this machine is: the time of an image in a frozen backbone, measured in about a second.

The network has random weights, which take as long as others: none are looked for, or downloaded.
"""

import time
from statistics import median
from typing import Any

import torch
from torch import nn

from ad_models.backbones import network
from ad_models.base import PIXELS, seeded
from ad_models.features import Pyramid
from ad_models.weight_files import DRAWNET

LONG = 1.0  # seconds of passes
LEAST, MOST = 3, 20  # passes
IMAGES = 4  # at once: as fast as more, and soon done


def device_of(name: str) -> torch.device:
    """The device of a name; the first GPU for `auto`, the CPU where there is no GPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda" if name == "auto" else name)


def about(device: torch.device) -> str:
    """The device in words, as "cpu, 2 threads"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {(count := torch.get_num_threads())} thread{'s' * (count != 1)}"


@torch.inference_mode()
def pass_seconds(backbone: str, size: tuple[int, int], device: torch.device) -> float:
    """Seconds of one image of `size` (height, width) in a backbone: the median of some passes."""
    with seeded(0):
        net = backbone_of(backbone, size).eval()
        count = max(1, min(IMAGES, PIXELS // (size[0] * size[1])))
        images = torch.randn(count, 3, *size)
    net = net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = images.to(device).contiguous(memory_format=torch.channels_last)
    net(images)  # memory is taken, kernels are chosen
    found: list[float] = []
    while len(found) < LEAST or (sum(found) < LONG and len(found) < MOST):
        began = time.perf_counter()
        net(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return median(found) / count


def backbone_of(name: str, size: tuple[int, int]) -> nn.Module:
    """The network of a name of torchvision or timm, for images of `size`; of a ResNet and
    of drawnet what algorithms read: all but the last stage, with batch norms folded."""
    import timm

    if name == DRAWNET or ("resne" in name and "." not in name):
        return Pyramid(name, ("layer3",), "random")

    if not (timm.is_model(name) and name.startswith("vit_")):
        return network(name)
    net: Any = timm.create_model(name, pretrained=False, num_classes=0)
    patch = net.patch_embed.patch_size[0]
    net.set_input_size(img_size=[max(patch, side // patch * patch) for side in size])
    return net
