"""Drawn products kept on disk: some good and some defective pictures of each, in files of many."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ad_models.drawn.canvas import Canvas
from ad_models.drawn.products import Product

Bytes = NDArray[np.uint8]
SIDE = 144  # pixels
GOOD, DEFECTIVE = 4, 3  # pictures of a product
PRODUCTS = 100  # in a file
APART = 1_000_000  # products from this seed on are never learnt from


def pictures(seed: int, good: int = GOOD, defective: int = DEFECTIVE) -> Bytes:
    """Pictures of the product of a seed, good ones first: (N, SIDE, SIDE, 4), colours and mask."""
    at, product = Canvas(SIDE), Product.drawn(seed, SIDE)
    out = np.zeros((good + defective, SIDE, SIDE, 4), np.uint8)
    for number in range(good + defective):
        image, mask = product.picture(at, 1000 * seed + 10 * number, number >= good)
        out[number, ..., :3], out[number, ..., 3] = image, np.where(mask, 255, 0)
    return out


def file_of(folder: Path, number: int) -> Path:
    return folder / f"{number:04}.npy"


def draw_file(folder: Path, number: int) -> Path:
    """Draw one file, unless it is there."""
    path = file_of(folder, number)
    if not path.exists():
        first = PRODUCTS * number
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.stack([pictures(seed) for seed in range(first, first + PRODUCTS)]))
        partial.replace(path)
    return path


def draw_files(folder: Path, files: range, workers: int) -> Iterator[Path]:
    """Draw files side by side; each when it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(draw_file, itertools.repeat(folder), files)


class Shelf:
    """Pictures of a product, by number, from the files of a folder."""

    def __init__(self, folder: Path, files: range) -> None:
        paths = [file_of(folder, number) for number in files]
        self.files = [np.load(path, mmap_mode="r") for path in paths]

    def __len__(self) -> int:
        return PRODUCTS * len(self.files)

    def __getitem__(self, number: int) -> Bytes:
        """(GOOD + DEFECTIVE, SIDE, SIDE, 4)"""
        return np.array(self.files[number // PRODUCTS][number % PRODUCTS])
