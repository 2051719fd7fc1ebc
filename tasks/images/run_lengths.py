"""Masks as lengths of runs: as COCO writes them, and as Label Studio writes what a brush drew.

COCO goes down the columns, begins with a run of zeros, and may pack the lengths into text: groups
of 5 bits, least first, each as a character from `0` on; bit 6 says that more follows, and the
fourth length and later ones are differences from the one two places before.

Label Studio packs the bytes of an RGBA picture into bits: 32 for their count, 5 for the size of a
value, 4 each for four sizes of a length; then runs: a bit whether one value repeats, 2 for the
size of the length, the length, and the value or the values. All but the count are less by one.

Errors are ValueErrors without a file: the caller knows which one it reads.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W)
GROUP, MORE, SIGN, FIRST = 5, 0x20, 0x10, 48  # of COCO's text
LONGEST = 7  # groups of one length
RGBA = 4


def counts_of(mask: Mask) -> list[int]:
    """Lengths of the runs of a mask down its columns, of zeros first."""
    flat = np.asarray(mask, bool).ravel(order="F")
    borders = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    return np.diff([0, *borders, flat.size]).tolist()


def mask_of(counts: Sequence[int], shape: tuple[int, int]) -> Mask:
    """The mask (H, W) with these runs; ValueError where they do not fill it exactly."""
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts)
    if not whole or sum(counts) != shape[0] * shape[1]:
        raise ValueError(f"its runs do not fill {shape[1]} x {shape[0]} pixels")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, np.array(counts, np.int64)).reshape(shape, order="F")


def packed(counts: Sequence[int]) -> str:
    """Lengths of runs as COCO's text."""
    text = []
    for at, count in enumerate(counts):
        left = count - counts[at - 2] if at > 2 else count
        more = True
        while more:
            bits, left = left & 0x1F, left >> GROUP
            more = left != (-1 if bits & SIGN else 0)
            text.append(chr(bits + MORE * more + FIRST))
    return "".join(text)


def unpacked(text: str) -> list[int]:
    """Lengths of the runs in COCO's text."""
    counts: list[int] = []
    value, groups = 0, 0
    for character in text:
        bits = ord(character) - FIRST
        if not 0 <= bits < 1 << (GROUP + 1) or groups == LONGEST:
            raise ValueError(f"its runs hold {character!r}, which no length has")
        value |= (bits & 0x1F) << GROUP * groups
        groups += 1
        if bits & MORE:
            continue
        value -= (1 << GROUP * groups) * bool(bits & SIGN)
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, groups = 0, 0
    if groups:
        raise ValueError("its runs end in the middle of a length")
    return counts


def brushed(data: Sequence[int], shape: tuple[int, int]) -> Mask:
    """What a brush of Label Studio marks: all that is not transparent of a picture (H, W)."""
    try:
        bits = Bits(np.array(data, np.uint8))
    except (ValueError, TypeError, OverflowError):
        raise ValueError("its rle is no list of bytes") from None
    count = bits.number(32)
    if count != RGBA * shape[0] * shape[1]:
        raise ValueError(f"its rle does not fill {shape[1]} x {shape[0]} pixels")
    size = bits.number(5) + 1
    lengths = [bits.number(4) + 1 for _ in range(4)]
    values, at = np.zeros(count, np.uint32), 0
    while at < count:
        repeats = bits.number(1)
        end = at + 1 + bits.number(lengths[bits.number(2)])
        if end > count:
            raise ValueError("its rle is longer than its image")
        values[at:end] = bits.number(size) if repeats else bits.numbers(end - at, size)
        at = end
    return values.reshape(*shape, RGBA)[..., RGBA - 1] > 0


class Bits:
    """Numbers read one by one from bytes (n,), the highest bit first."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.bits = np.unpackbits(data)
        self.at = 0

    def number(self, size: int) -> int:
        """The next number of `size` bits."""
        return int(self.numbers(1, size)[0])

    def numbers(self, count: int, size: int) -> NDArray[np.int64]:
        """The next numbers (count,) of `size` bits each."""
        taken = self.bits[self.at : self.at + count * size]
        if len(taken) < count * size:
            raise ValueError("its rle ends too early")
        self.at += count * size
        return taken.reshape(count, size) @ (1 << np.arange(size, dtype=np.int64)[::-1])
