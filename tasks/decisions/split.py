"""Which good training images are used for the fit, and which for the threshold."""

import re

from tasks.workspace.errors import SpecError


def fold_numbers(sha256s: list[str], count: int) -> list[int]:
    """Fold number, 0 to count - 1, of each image; folds of equal size.

    The order of the hashes decides the fold; names and folders have no influence.
    """
    dealt = sorted(range(len(sha256s)), key=lambda i: sha256s[i])
    parts = [0] * len(sha256s)
    for place, index in enumerate(dealt):
        parts[index] = place % count
    return parts


def held_out(sha256s: list[str], share: float) -> list[bool]:
    """True for images held out for calibration: about `share` of them, at least one of two.

    The hash of the content decides: an image is always on the same side, so new images never move
    old ones.
    """
    held = [int(sha[:8], 16) / 2**32 < share for sha in sha256s]
    if len(sha256s) < 2:
        return held if len(sha256s) == 0 else [False]
    extremes = sorted(range(len(sha256s)), key=lambda i: sha256s[i])
    held[extremes[0]] = True  # the smallest hash is held out first at any share
    held[extremes[-1]] = False
    return held


def consecutive_fold_numbers(names: list[str], pattern: str, count: int) -> list[int]:
    """Fold numbers for images in a sequence: each fold is a run of consecutive images.

    If neighbours are similar, one of them in the fit makes the other look more normal than a new
    part. The order is the text that `pattern` finds in the names; digits are compared as numbers.
    """
    parts = [0] * len(names)
    for place, index in enumerate(_in_order(names, pattern)):
        parts[index] = place * count // len(names)
    return parts


def consecutive_held_out(names: list[str], pattern: str, share: float) -> list[bool]:
    """True for the last `share` of the images in that order, at least one of two."""
    count = max(1, round(share * len(names))) if len(names) > 1 else 0
    held = [False] * len(names)
    for index in _in_order(names, pattern)[len(names) - count :]:
        held[index] = True
    return held


def _in_order(names: list[str], pattern: str) -> list[int]:
    """Indices, ordered by the first group of the pattern, or by the whole match."""
    keys = []
    for name in names:
        found = re.search(pattern, name)
        if found is None:
            raise SpecError(f"training.order '{pattern}' finds nothing in the name {name}")
        text = found.group(found.re.groups and 1) or ""
        keys.append([int(p) if p.isdigit() else p for p in re.split(r"(\d+)", text)])
    return sorted(range(len(names)), key=lambda index: (keys[index], names[index]))
