"""Judge known defects by thresholds that did not see them.

The threshold that ships uses every known defect. If it judged them as well, its misses would look
better than they are. So each defect is judged by a threshold from all others (cross-fitting), and
no image is lost for testing. Copies of an image are left out together.
"""

from collections.abc import Sequence

from tasks.decisions.threshold import Limits, Scores, choose_limits
from tasks.spec.schema import ThresholdSpec

PARTS = 40  # thresholds at most: with more contents, several are left out together


def cross_fitted(
    policy: ThresholdSpec, normals: Scores, defects: Sequence[float], contents: Sequence[str]
) -> list[Limits]:
    """For each defect (m,) the limits from the good images and all defects of other contents.

    contents: the hash of each defect's image. A policy that has enough defects is followed in
    every part.
    """
    if len(defects) >= policy.min_defects:
        policy = policy.model_copy(update={"min_defects": 1})
    order = {content: at for at, content in enumerate(sorted(set(contents)))}
    parts = [order[content] % PARTS for content in contents]
    found = {
        part: choose_limits(
            policy, normals, [d for d, p in zip(defects, parts, strict=True) if p != part]
        )
        for part in sorted(set(parts))
    }
    return [found[part] for part in parts]
