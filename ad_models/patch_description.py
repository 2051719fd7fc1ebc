"""The patch description network of EfficientAD, and its distillation from a backbone."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms.functional import rgb_to_grayscale

from ad_models.base import Batch
from ad_models.errors import InputError, WeightsError
from ad_models.features import Pyramid, stack
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.synthetic import Textures
from ad_models.weights import fingerprint, read_state

REACH = 33  # pixels: side of the patch that one position describes
LAYERS = {  # (channels in units of the width, 0: the outputs; kernel; padding; pooled after)
    "small": ((1, 4, 3, True), (2, 4, 3, True), (2, 3, 1, False), (0, 4, 0, False)),
    "medium": (
        (2, 4, 3, True),
        (4, 4, 3, True),
        (4, 1, 0, False),
        (4, 3, 1, False),
        (0, 4, 0, False),
        (0, 1, 0, False),
    ),
}


class PatchDescription(nn.Module):
    """Map images (B, 3, H, W) to descriptions (B, C, h, w) of their patches of 33 x 33 pixels.

    Four or six convolutions (section 3.1 and appendix). Without padding h is about H / 4 - 8
    and no description depends on where its patch lies; `padded` gives h = H / 4.
    """

    def __init__(self, size: str, width: int, outputs: int) -> None:
        super().__init__()
        self.rows = LAYERS[size]
        outs = [times * width or outputs for times, _, _, _ in self.rows]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, kernel)
            for before, after, (_, kernel, _, _) in zip(
                [3, *outs[:-1]], outs, self.rows, strict=True
            )
        )
        self.source = ""  # where the weights came from

    def forward(self, images: Tensor, padded: bool = False, kept: slice = slice(None)) -> Tensor:
        """`kept`: the output channels to compute."""
        x = images
        *hidden, (weight, bias) = self.parameters_by_layer()
        for (w, b), (_, _, padding, pooled) in zip(hidden, self.rows[:-1], strict=True):
            x = F.relu(F.conv2d(x, w, b, padding=padding * padded))
            x = F.avg_pool2d(x, 2, padding=int(padded)) if pooled else x
        return F.conv2d(x, weight[kept], bias[kept])

    def parameters_by_layer(self) -> list[tuple[Tensor, Tensor]]:
        parameters = list(self.layers.parameters())
        return list(zip(parameters[::2], parameters[1::2], strict=True))

    def read(self, path: Path) -> None:
        """Load weights from a state dict with the same layers under any names."""
        state = read_state(path)
        theirs = [state[name] for name in sorted(state, key=_layer_order)]
        ours = list(self.layers.parameters())
        wanted, found = ([tuple(t.shape) for t in side] for side in (ours, theirs))
        if wanted != found:
            raise WeightsError(f"{path} is no such teacher: wanted {wanted}, found {found}")
        with torch.no_grad():
            for parameter, value in zip(ours, theirs, strict=True):
                parameter.copy_(value)
        self.source = fingerprint(path)

    def write(self, path: Path) -> None:
        """Write a file for `read`; its header names the source of the distillation."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        state = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(state, partial, metadata={"source": self.source})
        partial.replace(path)


def _layer_order(name: str) -> tuple[list[int], bool]:
    """`conv2.weight` before `conv2.bias` before `conv10.weight`."""
    return [int(number) for number in re.findall(r"\d+", name)], name.endswith("bias")


class Standard(nn.Module):
    """Normalise each channel of maps (B, C, h, w) to mean 0 and deviation 1 over all maps so
    far."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.deviation: Tensor
        self.seen: Tensor
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.register_buffer("seen", torch.zeros(2, dtype=torch.long))  # batches, images

    @torch.no_grad()
    def learn(self, maps: Iterable[Tensor]) -> None:
        moments: list[Tensor] = [  # (2, B, C)
            torch.stack([x.mean((2, 3)), x.square().mean((2, 3))]) for x in maps
        ]
        if not moments:
            raise InputError("no images to learn from")
        mean, square = torch.cat(moments, dim=1).double().mean(1)  # float32 would cancel
        self.mean.copy_(mean.view(-1, 1, 1))
        self.deviation.copy_((square - mean**2).clamp_min(1e-12).sqrt().view(-1, 1, 1))
        self.seen.copy_(torch.tensor([len(moments), sum(m.shape[1] for m in moments)]))

    def forward(self, maps: Tensor) -> Tensor:
        return (maps - self.mean) / self.deviation


class Lessons(nn.Module):
    """The targets of a teacher (B, C, H / 4, W / 4): features of a backbone (section 3.1). The
    image is enlarged; each position is the mean of its 3 x 3 neighbourhood, and neighbouring
    channels are averaged until C are left.
    """

    def __init__(
        self,
        backbone: str,
        layers: tuple[str, ...],
        weights: str,
        channels: int,
        enlarged: int,
    ) -> None:
        super().__init__()
        self.pyramid = Pyramid(backbone, layers, weights)
        self.standard = Standard(channels)
        self.channels = channels
        self.enlarged = enlarged

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        larger = resized(images, [self.enlarged * side for side in images.shape[-2:]])
        maps = [F.avg_pool2d(f, 3, stride=1, padding=1) for f in self.pyramid(larger)]
        joined = stack(maps, mode="bilinear")
        pooled = F.adaptive_avg_pool1d(joined.flatten(2).mT, self.channels)
        return pooled.mT.unflatten(2, joined.shape[-2:])

    def forward(self, images: Tensor) -> Tensor:
        return self.standard(self.features(images))


@dataclass(frozen=True)
class Plan:
    """Settings of a distillation: number of batches, learning rate, images."""

    steps: int
    lr: float
    natural: Textures | None = None


def distil(
    teacher: PatchDescription,
    lessons: Lessons,
    loader: Iterable[Batch],
    run: Run,
    plan: Plan,
) -> None:
    """Train `teacher` to give the same output as the backbone (section 3.1).

    To each batch of the loader the same number of natural images is added, if there are any.
    """
    natural = plan.natural

    def images() -> Iterator[Tensor]:
        for batch in run.steps(loader):
            x = batch.image
            if natural is None:
                yield x
            else:
                yield torch.cat([x, normalised(natural(len(x), x.shape[-2:], x.device))])

    for _ in run.epochs(1, lessons.standard, stage="lessons"):
        lessons.standard.learn(lessons.features(x) for x in images())
    epochs = math.ceil(plan.steps / int(lessons.standard.seen[0]))
    optimiser = torch.optim.Adam(teacher.parameters(), plan.lr, weight_decay=1e-5)  # section 3.1
    for _ in run.epochs(epochs, teacher, optimiser, stage="teacher"):
        for x in images():
            seen = faded(x, 0.1)
            answers = teacher(seen, padded=True)
            loss = F.mse_loss(answers, resized(lessons(seen), answers.shape[-2:]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.log(teacher=loss)
    teacher.source = f"distilled from {lessons.pyramid.source}"


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def faded(images: Tensor, share: float) -> Tensor:
    """Turn a random share of normalised images (B, 3, H, W) grey."""
    grey = (torch.rand(len(images), 1, 1, 1) < share).to(images.device)
    return torch.where(grey, normalised(rgb_to_grayscale(unit(images), 3)), images)
