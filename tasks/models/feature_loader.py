"""Batches of features instead of images, for algorithms that read a frozen backbone alone."""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ad_models import Batch, Run
from ad_models.base import blocks
from ad_models.feature_store import Features, FeatureStore
from ad_models.features import Pyramid
from ad_models.seen import Seen
from ad_models.tokens import Tokens, Turned
from tasks.build.fingerprint import Reach, digest
from tasks.images.loader import ImageLoader, read_ahead
from tasks.workspace.paths import PACKAGE

Backbone = Pyramid | Tokens | Turned
Read = tuple[Tensor, tuple[int, int]]  # tiles of an image, height and width of its region


class FeatureLoader:
    """The same batches in the same order as `images`, as `Seen`. An image is only decoded, and only
    passes the backbone, if its features are not in the store.

    hashes: of the content of each image; the backbone computes in the precision of the run.
    """

    def __init__(
        self,
        images: ImageLoader,
        hashes: list[str],
        pyramid: Backbone,
        store: FeatureStore,
        run: Run,
    ) -> None:
        self.images, self.hashes, self.pyramid, self.store = images, hashes, pyramid, store
        self.device = next(iter(pyramid.state_dict().values())).device
        self.mixed = run.mixed
        self.layers = layer_keys(images, pyramid, self.device, run.precision)
        self.shapes: dict[int, tuple[int, int]] = {}  # of each region of interest, once it is known

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(self.images.parts())

    def batches(self, parts: list[list[int]]) -> Iterator[Batch]:
        """A batch of the images of these numbers for each part."""
        for part, found in zip(parts, read_ahead(parts, self._find), strict=True):
            features = self._complete(part, found)
            self.shapes |= {i: one.shape for i, one in zip(part, features, strict=True)}
            layers = zip(*(one.maps for one in features), strict=True)
            seen = Seen([torch.cat(maps) for maps in layers], self.images.preprocess.spec.seen)
            # where images are expected; only detectors that say so are given it
            yield Batch(cast(Tensor, seen), [self.images.category] * len(seen))

    def shape(self, index: int) -> tuple[int, int]:
        """Height and width of the region of interest of an image, pixels."""
        if index not in self.shapes:
            next(self.batches([[index]]))
        return self.shapes[index]

    def _find(self, index: int) -> Features | Read:
        return self.store.get(self.layers, self.hashes[index]) or self.images.read(index)

    def _complete(self, part: list[int], found: list[Features | Read]) -> list[Features]:
        """All features of a part; the new ones are stored."""
        new = [at for at, one in enumerate(found) if not isinstance(one, Features)]
        read = [cast(Read, found[at]) for at in new]
        made = self._compute([tiles for tiles, _ in read]) if read else []
        for at, maps, (_, shape) in zip(new, made, read, strict=True):
            features = found[at] = Features(maps, shape)
            self.store.put(self.layers, self.hashes[part[at]], features)
        return [one for one in found if isinstance(one, Features)]

    @torch.no_grad()
    def _compute(self, tiles: list[Tensor]) -> list[list[Tensor]]:
        """Maps [(N, C, h, w)] of each image from its tiles (N, 3, H, W)."""
        images = blocks(torch.cat(tiles))
        parts = [self.mixed(self.pyramid, part.to(self.device)) for part in images]
        counts = [len(part) for part in tiles]
        layers = [torch.cat(maps).cpu().split(counts) for maps in zip(*parts, strict=True)]
        return [list(maps) for maps in zip(*layers, strict=True)]


def layer_keys(
    images: ImageLoader, pyramid: Backbone, device: torch.device, precision: torch.dtype
) -> list[str]:
    """For each layer a text that differs if the features of an image would."""
    spec = images.preprocess.spec.model_dump(mode="json")
    made = [code(), spec, torch.__version__, device.type, str(precision)]
    about = json.dumps(made, sort_keys=True)
    return [
        hashlib.sha256(f"{about} {layer}".encode()).hexdigest()[:32]
        for layer in pyramid.identities()
    ]


@cache
def code() -> str:
    """A hash of the code that makes features of a file: reading, preparing, the backbone."""
    found = Reach(PACKAGE)
    found.follow(Path("tasks/models/feature_loader.py"))
    return digest(found)
