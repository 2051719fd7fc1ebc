"""Images of 16 bits of which the camera fills fewer: how many it uses, and what to do."""

import numpy as np

from tasks.checks.manifest import Scan
from tasks.images.preprocess import gain

USUAL = (8, 10, 12, 14)  # bits of a camera


def used_bits(brightest: dict[str, int]) -> int | None:
    """The bits that images of 16 bits use, if they are as many as cameras have; None for all.

    brightest: the largest value of each image.
    """
    if not brightest:
        return None
    most = max(brightest.values()).bit_length()
    return next((bits for bits in USUAL if most <= bits and most > bits - 2), None)


def brightened(found: Scan) -> dict[str, np.ndarray]:
    """Thumbnails whose white is the brightest value that the camera has, so that two dark pictures
    are not the same for being dark."""
    bits = used_bits(found.brightest)
    if bits is None:
        return found.thumbnails
    scale = np.float32(gain(bits))
    return {
        path: thumbnail * scale if path in found.brightest else thumbnail
        for path, thumbnail in found.thumbnails.items()
    }


def bits_failures(found: Scan, told: int | None) -> list[dict[str, str]]:
    """Findings {check, file, reason} of images that image.bits of the spec would spoil."""
    why = f"8 bits, but image.bits {told} is for images of 16; set it to null"
    return [
        {"check": "bits_used", "file": row["path"], "reason": why}
        for row in found.rows
        if told is not None and row["bits"] == 8
    ]


def bits_warnings(found: Scan, told: int | None) -> list[dict[str, str]]:
    """Findings {check, file, reason} on the bits in use. told: image.bits of the spec."""
    bits, above = used_bits(found.brightest), 1 << (told or 16)
    reasons = {
        path: f"a value of {most}, but image.bits {told} has none above {above - 1}; raise it"
        for path, most in found.brightest.items()
        if most >= above
    }
    if told is None and bits is not None:
        reasons[""] = (
            f"images of 16 bits that use {bits}: no value is above {max(found.brightest.values())}"
            f", so they are dark; set image.bits: {bits} in the spec"
        )
    return [{"check": "bits_used", "file": path, "reason": why} for path, why in reasons.items()]
