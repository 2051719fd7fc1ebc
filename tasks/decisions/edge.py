"""The good images with the highest calibration scores: they set the threshold, and a person should
look at them. One odd image, or one that is no good part, can cost many misses."""

from typing import Any

import numpy as np

from tasks.decisions.tail import odd_ones
from tasks.decisions.threshold import choose_limits
from tasks.spec.schema import ThresholdSpec

SHOWN = 3  # images, where none is odd
MOST = 10


def edge(
    policy: ThresholdSpec,
    paths: list[str],
    normals: list[float],
    defects: list[float],
    tested: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    """The images at the edge, highest first, and what the decisions would be without them.

    paths, normals: of good images, and their scores; defects: scores that set the threshold;
    tested: scores of good and of defective test images.
    """
    ordered = sorted(zip(paths, normals, strict=True), key=lambda pair: -pair[1])
    scores = np.array([score for _, score in ordered])
    odd = int(odd_ones(scores).sum())
    count = min(odd or SHOWN, MOST, max(0, len(ordered) - 2))
    images = [{"path": path, "score": score} for path, score in ordered[:count]]
    reject = choose_limits(policy, scores[count:], defects).reject.value
    good, bad = tested
    known = reject is not None
    return {
        "images": images,
        "odd": min(odd, count),
        "of": len(ordered),
        "without": {
            "threshold": reject,
            "miss": float((bad <= reject).mean()) if known and len(bad) else None,
            "overkill": float((good > reject).mean()) if known and len(good) else None,
        },
    }
