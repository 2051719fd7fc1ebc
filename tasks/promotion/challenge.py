"""Champion against challenger on the same test images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.decisions.calibration import images_identity, split_rows
from tasks.decisions.expected_cost import weights
from tasks.decisions.threshold import classify_score
from tasks.documents.champion import Pointer
from tasks.documents.decision import Compared, Discordance
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.metrics.comparison import (
    Comparison,
    CostDifference,
    compare_auroc,
    compare_costs,
    compare_decisions,
)
from tasks.spec.read import read_params
from tasks.spec.schema import Product
from tasks.store.base import Store
from tasks.store.fetch_release import fetch
from tasks.store.release import read_manifest
from tasks.workspace.files import read_rows
from tasks.workspace.paths import Workspace


def reported(workspace: Workspace, product: str, spec: Product) -> list[dict[str, str]]:
    """The test images that figures and gates report on."""
    rows = read_rows(workspace.validation(product) / "test.csv")
    return split_rows(rows, spec.threshold.defect_share, spec.severity).test


@dataclass(frozen=True)
class Challenge:
    """The present champion of a product, and the test set it has to stand on."""

    workspace: Workspace
    store: Store
    product: str
    spec: Product
    champion: Pointer

    def compare(self, algorithm: str) -> tuple[Compared, list[str]]:
        """What the cell and the champion gave on the same images, and reasons against promotion.

        Both score every image; the interval is of the difference, over resamples of images.
        """
        mine = self.scores_of_cell(algorithm)
        theirs, champion = self.champion_scores
        defective = np.array([row["label"] != "good" for row in self.rows], bool)
        scores = np.array([float(mine[row["path"]]["score"]) for row in self.rows])
        found = compare_auroc(scores, theirs, defective, max(self.spec.evaluation.resamples, 200))
        if found is None:
            return Compared(
                verdict="cannot be compared, because there are no test images, with"
            ), []
        decided = np.array([mine[row["path"]]["decision"] for row in self.rows])
        wrong = compare_decisions(decided == "defect", champion == "defect", defective)
        cost = compare_costs(
            wrong_decisions(decided, defective),
            wrong_decisions(champion, defective),
            defective,
            weights(self.spec.threshold.cost),
            max(self.spec.evaluation.resamples, 200),
        )
        against = self.against(found, cost)
        better = found.better or (cost is not None and cost.better)
        compared = Compared(
            **found._asdict(),
            cost_difference=cost.difference if cost else None,
            cost_low=cost.low if cost else None,
            cost_high=cost.high if cost else None,
            rule=self.spec.gates.rule,
            margin=self.spec.gates.margin,
            decisions={kind: Discordance(**one._asdict()) for kind, one in wrong.items()},
            evaluated_anew=not self.same_test_set,
            verdict="is better than" if better else "is not worse than",
        )
        return compared, against

    def against(self, found: Comparison, cost: CostDifference | None) -> list[str]:
        """Reasons against a promotion: its decisions clearly cost more, or it ranks worse and they
        do not clearly cost less."""
        rule, margin = self.spec.gates.rule, self.spec.gates.margin
        reasons = []
        ranks = found.better if rule == "better" else found.not_worse(margin)
        if not ranks and not (cost is not None and cost.better):  # what it decides goes first
            interval = (
                f"{found.difference:+.4f} (95 % interval {found.low:+.4f} to {found.high:+.4f})"
            )
            asked = "more than 0" if rule == "better" else f"no less than -{margin:g}"
            reasons.append(f"AUROC differs from the champion's by {interval}; it must be {asked}")
        if cost is not None and cost.worse:
            reasons.append(
                f"its decisions cost {cost.difference:.3f} a part more than the champion's "
                f"(95 % interval {cost.low:.3f} to {cost.high:.3f})"
            )
        return reasons

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The test images that figures are reported on."""
        return reported(self.workspace, self.product, self.spec)

    @cached_property
    def same_test_set(self) -> bool:
        """Whether the champion was evaluated on these very images and labels."""
        about = read_manifest(self.store, self.product, self.champion.release).about
        return about.test_set == images_identity(self.rows)

    @cached_property
    def champion_scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The champion's scores and decisions (N,): as recorded, or taken again on new images."""
        cache = self.workspace.scratch / "releases"
        folder = fetch(self.store, self.product, self.champion.release, cache)
        if self.same_test_set:
            known = {row["path"]: row for row in read_rows(folder / "scores.csv")}
            kept = [known[row["path"]] for row in self.rows]
            scores = np.array([float(row["score"]) for row in kept])
            return scores, np.array([row["decision"] for row in kept])
        # these import torch; a gate that compares records should not wait for it
        from tasks.models.device import choose_device
        from tasks.models.inspector import Inspector
        from tasks.models.scoring import score_images

        device = choose_device(read_params(self.workspace.root).line.device)
        inspector = Inspector.load(folder, str(device))
        images = self.workspace.images(self.product)
        found = score_images(inspector, images, self.rows, lambda *_, **__: None)
        scores = np.array([float(row["score"]) for row in found])  # by the champion's own rule
        accept, reject = Thresholds.read(folder / THRESHOLD).limits
        return scores, np.array([classify_score(score, reject, accept) for score in scores])

    def scores_of_cell(self, algorithm: str) -> dict[str, dict[str, str]]:
        """Rows of the cell's scores.csv by path."""
        folder = self.workspace.evaluation(self.product, algorithm)
        return {row["path"]: row for row in read_rows(folder / "scores.csv")}


def wrong_decisions(decisions: np.ndarray, defective: np.ndarray) -> np.ndarray:
    """Whether each decision (N,) is wrong: a defect accepted, a good part rejected."""
    return np.where(defective, decisions == "good", decisions == "defect")
