"""Cut an image into overlapping tiles and join their maps without visible edges."""

import numpy as np

from tasks.images.resample import Array


def tile_offsets(length: int, tile: int) -> list[int]:
    """Start positions of tiles of `tile` pixels on a side of `length`: evenly spaced, with an
    overlap of a quarter or more."""
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile - tile // 4)) + 1
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def count_tiles(size: tuple[int, int], tile: int | None) -> int:
    """Number of tiles of an image of this height and width; 1 where it is not cut."""
    return len(tile_offsets(size[0], tile)) * len(tile_offsets(size[1], tile)) if tile else 1


def cut_tiles(image: Array, tile: int) -> Array:
    """Image (3, H, W), sides at least `tile` -> tiles (N, 3, tile, tile), row by row."""
    rows, columns = (tile_offsets(n, tile) for n in image.shape[-2:])
    return np.stack([image[:, y : y + tile, x : x + tile] for y in rows for x in columns])


def join_tiles(maps: Array, shape: tuple[int, int]) -> Array:
    """Maps (N, tile, tile) of `cut_tiles` -> (H, W), each pixel the mean of its tiles.

    A tile's weight falls towards each of its edges inside the image and is 0 close to that edge,
    where the tile has too little context. So there is no step where a tile ends.
    """
    tile = maps.shape[-1]
    total, weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    places = [(y, x) for y in tile_offsets(shape[0], tile) for x in tile_offsets(shape[1], tile)]
    for part, (y, x) in zip(maps, places, strict=True):
        weight = np.outer(tile_weights(y, shape[0], tile), tile_weights(x, shape[1], tile))
        total[y : y + tile, x : x + tile] += part * weight
        weights[y : y + tile, x : x + tile] += weight
    return total / weights


def tile_weights(start: int, length: int, tile: int) -> Array:
    """Weights (tile,) of the tile at `start` on a side of `length`."""
    at = np.arange(tile, dtype=np.float32) + np.float32(0.5)
    none = tile // 32  # three quarters of the smallest overlap remain for blending
    inside = np.full(tile, tile, np.float32)
    before = at - none if start > 0 else inside
    after = tile - at - none if start + tile < length else inside
    return np.maximum(np.minimum(before, after), 0)
