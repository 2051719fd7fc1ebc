"""Which good training images the fit sees, and which are kept for the threshold."""

import re

from tasks.workspace.errors import SpecError


def fold_numbers(sha256s: list[str], count: int) -> list[int]:
    """Number of the part, 0 to count - 1, that each image is left out with; parts of equal size.

    Images are dealt out in the order of their hashes, so names and folders play no part.
    """
    dealt = sorted(range(len(sha256s)), key=lambda i: sha256s[i])
    parts = [0] * len(sha256s)
    for place, index in enumerate(dealt):
        parts[index] = place % count
    return parts


def held_out(sha256s: list[str], share: float) -> list[bool]:
    """True for images held out for calibration: about `share` of them, at least one of two.

    Decided by the content's hash: the same image falls on the same side whatever else the
    folder holds, so new images never move old ones across.
    """
    held = [int(sha[:8], 16) / 2**32 < share for sha in sha256s]
    if len(sha256s) < 2:
        return held if len(sha256s) == 0 else [False]
    extremes = sorted(range(len(sha256s)), key=lambda i: sha256s[i])
    held[extremes[0]] = True  # the smallest hash is the first to be held out at any share
    held[extremes[-1]] = False
    return held


def consecutive_fold_numbers(names: list[str], pattern: str, count: int) -> list[int]:
    """The same for pictures that follow each other: each part is a stretch of them.

    Where neighbours are alike, one of them in the fit would make the other look more normal than a
    new part will. Their order is that of what `pattern` finds in their names, numbers as numbers.
    """
    parts = [0] * len(names)
    for place, index in enumerate(_in_order(names, pattern)):
        parts[index] = place * count // len(names)
    return parts


def consecutive_held_out(names: list[str], pattern: str, share: float) -> list[bool]:
    """True for the last `share` of the pictures in that order, at least one of two."""
    count = max(1, round(share * len(names))) if len(names) > 1 else 0
    held = [False] * len(names)
    for index in _in_order(names, pattern)[len(names) - count :]:
        held[index] = True
    return held


def _in_order(names: list[str], pattern: str) -> list[int]:
    """Indices, ordered by the first group of the pattern, or by all that it matches."""
    keys = []
    for name in names:
        found = re.search(pattern, name)
        if found is None:
            raise SpecError(f"training.order '{pattern}' finds nothing in the name {name}")
        text = found.group(found.re.groups and 1) or ""
        keys.append([int(p) if p.isdigit() else p for p in re.split(r"(\d+)", text)])
    return sorted(range(len(names)), key=lambda index: (keys[index], names[index]))
