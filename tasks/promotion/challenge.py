"""Champion against challenger on the same test images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.decisions.calibration import images_identity, split_rows
from tasks.documents.champion import Pointer
from tasks.documents.decision import Compared, Discordance
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.metrics.comparison import compare_auroc, compare_decisions
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
        theirs, decided = self.champion_scores
        defective = np.array([row["label"] != "good" for row in self.rows], bool)
        scores = np.array([float(mine[row["path"]]["score"]) for row in self.rows])
        found = compare_auroc(scores, theirs, defective, max(self.spec.evaluation.resamples, 200))
        if found is None:
            return Compared(
                verdict="cannot be compared, because there are no test images, with"
            ), []
        rejected = np.array([mine[row["path"]]["decision"] == "defect" for row in self.rows])
        wrong = compare_decisions(rejected, decided, defective)
        rule, margin = self.spec.gates.rule, self.spec.gates.margin
        holds = found.better if rule == "better" else found.not_worse(margin)
        interval = f"{found.difference:+.4f} (95 % interval {found.low:+.4f} to {found.high:+.4f})"
        asked = "more than 0" if rule == "better" else f"no less than -{margin:g}"
        against = f"AUROC differs from the champion's by {interval}; it must be {asked}"
        compared = Compared(
            **found._asdict(),
            rule=rule,
            margin=margin,
            decisions={kind: Discordance(**one._asdict()) for kind, one in wrong.items()},
            evaluated_anew=not self.same_test_set,
            verdict="is better than" if found.better else "is not worse than",
        )
        return compared, [] if holds else [against]

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
        """The champion's scores and rejections (N,): as recorded, or taken again on new images."""
        cache = self.workspace.scratch / "releases"
        folder = fetch(self.store, self.product, self.champion.release, cache)
        _, threshold = Thresholds.read(folder / THRESHOLD).limits
        if self.same_test_set:
            known = {row["path"]: float(row["score"]) for row in read_rows(folder / "scores.csv")}
            scores = np.array([known[row["path"]] for row in self.rows])
            return scores, scores > threshold
        # these import torch; a gate that compares records should not wait for it
        from tasks.models.device import choose_device
        from tasks.models.inspector import Inspector
        from tasks.models.scoring import score_images

        device = choose_device(read_params(self.workspace.root).line.device)
        inspector = Inspector.load(folder, str(device))
        images = self.workspace.images(self.product)
        scores = np.array(score_images(inspector, images, self.rows, lambda *_, **__: None))
        return scores, scores > threshold

    def scores_of_cell(self, algorithm: str) -> dict[str, dict[str, str]]:
        """Rows of the cell's scores.csv by path."""
        folder = self.workspace.evaluation(self.product, algorithm)
        return {row["path"]: row for row in read_rows(folder / "scores.csv")}
