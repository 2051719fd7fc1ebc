"""Which good training images the fit sees, and which are kept for the threshold."""


def folds(sha256s: list[str], count: int) -> list[int]:
    """Number of the part, 0 to count - 1, that each image is left out with; parts of equal size.

    Images are dealt out in the order of their hashes, so names and folders play no part.
    """
    dealt = sorted(range(len(sha256s)), key=lambda i: sha256s[i])
    parts = [0] * len(sha256s)
    for place, index in enumerate(dealt):
        parts[index] = place % count
    return parts


def split(sha256s: list[str], share: float) -> list[bool]:
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
