"""Epochs with a fixed number of batches instead of one pass over the images.

Papers that draw a fixed number of patches have the same number of steps for any number of images.
With a few dozen images, single passes would end a fit before it has learnt anything.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from ad_models.errors import ConfigError

T = TypeVar("T")  # a batch, or features of one


def check_epoch(batches: int) -> None:
    """Raise ConfigError for a number of batches that no epoch can have."""
    if batches < 0:
        raise ConfigError(f"batches must be at least 1, or 0 for one pass, got {batches}")


def epoch(loader: Iterable[T], batches: int) -> Iterable[T]:
    """This number of batches, over as many passes as needed; 0: one pass."""
    return Epoch(loader, batches) if batches else loader


class Epoch(Generic[T]):
    def __init__(self, loader: Iterable[T], batches: int) -> None:
        self.loader = loader
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[T]:
        given, before = 0, -1
        while before < given < self.batches:  # an empty loader ends it
            before = given
            for batch in islice(self.loader, self.batches - given):
                yield batch
                given += 1
