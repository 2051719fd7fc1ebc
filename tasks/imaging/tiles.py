"""Overlapping tiles of an image, and their maps joined without seams."""

import torch
from torch import Tensor


def offsets(length: int, tile: int) -> list[int]:
    """Where tiles of `tile` pixels begin on a side of `length`: evenly, overlapping by a quarter
    or more."""
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile - tile // 4)) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def cut(image: Tensor, tile: int) -> Tensor:
    """Image (3, H, W), sides at least `tile` -> tiles (N, 3, tile, tile), row by row."""
    rows, columns = (offsets(n, tile) for n in image.shape[-2:])
    return torch.stack([image[:, y : y + tile, x : x + tile] for y in rows for x in columns])


def join(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    """Maps (N, tile, tile) of `cut` -> (H, W), each pixel the mean of its tiles.

    A tile weighs less toward its edge, where it knows least of what lies around; so there is no
    step where one tile ends.
    """
    tile = maps.shape[-1]
    ramp = 1 - (torch.arange(tile) - (tile - 1) / 2).abs() / (tile / 2)
    weight = ramp[:, None] * ramp[None, :]
    total, weights = torch.zeros(shape), torch.zeros(shape)
    places = [(y, x) for y in offsets(shape[0], tile) for x in offsets(shape[1], tile)]
    for part, (y, x) in zip(maps.cpu(), places, strict=True):
        total[y : y + tile, x : x + tile] += part * weight
        weights[y : y + tile, x : x + tile] += weight
    return total / weights
