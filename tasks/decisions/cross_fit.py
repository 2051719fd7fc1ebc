"""Judge known defects by thresholds that did not see them.

The threshold that ships uses every known defect. If it judged them as well, its misses would look
better than they are. So each defect is judged by a threshold from all others (cross-fitting), and
no image is lost for testing. Copies of an image are left out together.
"""

from collections.abc import Sequence

from tasks.decisions.score_rule import ByRule, choose_rule
from tasks.decisions.threshold import Limits, choose_limits
from tasks.spec.policy_names import ScoreRule
from tasks.spec.schema import ThresholdSpec

PARTS = 40  # thresholds at most: with more contents, several are left out together


def cross_fitted(
    policy: ThresholdSpec, normals: ByRule, defects: ByRule, contents: Sequence[str]
) -> list[tuple[ScoreRule, Limits]]:
    """For each defect (m) which score is compared with which limits: both are chosen from the good
    images and all defects of other contents.

    contents: the hash of each defect's image. A policy that has enough defects is followed in
    every part.
    """
    if len(contents) >= policy.min_defects:
        policy = policy.model_copy(update={"min_defects": 1})
    order = {content: at for at, content in enumerate(sorted(set(contents)))}
    parts = [order[content] % PARTS for content in contents]
    found: dict[int, tuple[ScoreRule, Limits]] = {}
    for part in sorted(set(parts)):
        others: dict[ScoreRule, list[float]] = {
            rule: [d for d, p in zip(scores, parts, strict=True) if p != part]
            for rule, scores in defects.items()
        }
        rule = choose_rule(policy, normals, others)
        found[part] = rule, choose_limits(policy, normals[rule], others[rule])
    return [found[part] for part in parts]
