"""Images whose label most algorithms contradict: candidates for relabelling."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tasks.metrics.image import image_metrics
from tasks.spec.corrections import read_corrections
from tasks.spec.read import read_product
from tasks.workspace.errors import DataError
from tasks.workspace.files import read_rows
from tasks.workspace.paths import Workspace


class Disagreement(NamedTuple):
    path: str
    label: str
    suggested: str  # good or defect; a person must give the type
    against: list[str]  # algorithms that contradict the label
    asked: int  # number of algorithms with a decision
    surprise: float  # 0..1, mean rank of the score against the label among all images


def disagreements(
    paths: Sequence[str],
    labels: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    decisions: Mapping[str, Sequence[str]],
) -> list[Disagreement]:
    """Images that more than half of the algorithms decide against their label, worst first.

    scores and decisions: for each algorithm, in the order of paths. Review or no decision is not a
    vote. Scores of different algorithms have different scales, so we compare ranks.
    """
    surprises = {name: label_surprise(values, labels) for name, values in scores.items()}
    uneven = [name for name in decisions if len(decisions[name]) != len(paths)]
    if scores.keys() != decisions.keys() or uneven or len(labels) != len(paths):
        raise DataError(
            f"{len(paths)} paths, {len(labels)} labels, scores of {sorted(scores)}, decisions of "
            f"{sorted(decisions)}; give one of each for every image"
        )
    found = []
    for index, (path, label) in enumerate(zip(paths, labels, strict=True)):
        expected = "good" if label == "good" else "defect"
        votes = {name: taken[index] for name, taken in decisions.items()}
        votes = {name: vote for name, vote in votes.items() if vote in ("good", "defect")}
        against = sorted(name for name, vote in votes.items() if vote != expected)
        if 2 * len(against) > len(votes):
            mean = float(np.mean([surprises[name][index] for name in votes]))
            other = "defect" if expected == "good" else "good"
            found.append(Disagreement(path, label, other, against, len(votes), mean))
    return sorted(found, key=lambda one: (-len(one.against) / one.asked, -one.surprise, one.path))


def label_surprise(scores: Sequence[float], labels: Sequence[str]) -> np.ndarray:
    """How much (n,) in 0..1 the score of each image contradicts its label.

    1 means: a good image with the highest score, or a defective image with the lowest.
    """
    from scipy.stats import rankdata

    if len(scores) != len(labels):
        raise DataError(f"{len(scores)} scores and {len(labels)} labels; give one each an image")
    ranks = (rankdata(scores) - 1) / max(1, len(scores) - 1)
    return np.where(np.array(labels) == "good", ranks, 1 - ranks)


RANKS = 0.8  # image AUROC from which a model may doubt a label
FEWEST = 3  # fewest algorithms: two that agree are often both wrong
SURPRISING = 0.75  # smallest surprise of a candidate


def ranks_well(rows: Sequence[Mapping[str, str]]) -> bool:
    """Whether the scores of scores.csv separate good from defective images."""
    labels = [row["label"] != "good" for row in rows]
    found = image_metrics([float(row["score"]) for row in rows], labels)["image_auroc"]
    return found is not None and found >= RANKS


def doubtful_labels(workspace: Workspace, product: str) -> list[dict[str, Any]]:
    """Candidates for relabelling, worst first; needs at least `FEWEST` evaluated algorithms that
    rank well: a model that cannot tell defects from good parts has no opinion of a label.

    A difficult defect has a score like a good image. A defect whose score is below most of the test
    set in most algorithms may be a good image. Where a person has said something of a label, nobody
    doubts it again.
    """
    algorithms = read_product(workspace.root, product).algorithms
    paths = {a: workspace.evaluation(product, a) / "scores.csv" for a in algorithms}
    tables = {a: read_rows(path) for a, path in paths.items() if path.is_file()}
    tables = {a: rows for a, rows in tables.items() if ranks_well(rows)}
    if len(tables) < FEWEST:
        return []
    first = next(iter(tables.values()))
    order = [row["path"] for row in first]
    by_path = {a: {row["path"]: row for row in rows} for a, rows in tables.items()}
    if any(set(rows) != set(order) for rows in by_path.values()):
        return []  # cells of different test sets: the next run fixes that
    found = disagreements(
        order,
        [row["label"] for row in first],
        {a: [float(rows[path]["score"]) for path in order] for a, rows in by_path.items()},
        {a: [rows[path]["decision"] for path in order] for a, rows in by_path.items()},
    )
    judged = {one.path for one in read_corrections(workspace.corrections(product))}
    doubted = [one for one in found if one.surprise > SURPRISING and one.path not in judged]
    return [one._asdict() for one in doubted]
