"""Calibration scores of good images, each by a model that did not see it.

Some algorithms can leave images out of one fit. The others are fitted again without each part of
the images, on features that have been computed once.

A model that knows fewer images gives higher scores than the one that ships. Where images are few
this is measured, by leaving out more of them, and taken off the scores, if the algorithm leaves
images out exactly. A memory of patches keeps its size instead.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from ad_models import Detector, Prediction, Run
from tasks.decisions.score_rule import COLUMNS
from tasks.images.preprocess import Preprocess
from tasks.images.tiles import count_tiles
from tasks.models.edge_maps import EdgeMaps
from tasks.models.feature_loader import FeatureLoader
from tasks.models.fitting import FitJob, Rows, Scores
from tasks.models.inspector import inspections
from tasks.models.torch_model import as_arrays

MOST_PARTS = 8  # where more images are left out, to measure what fewer images change
FEW = 64  # images at most for which it is: with more it is small
Groups = list[list[int]]  # numbers of the images that are left out together


def left_out_scores(job: FitJob, detector: Detector, rows: Rows, run: Run) -> tuple[Scores, str]:
    """Scores of all rows, and how they were found; detector: fitted on all of them."""
    count = job.folds(rows, refit=False)
    few = MOST_PARTS < len(rows) <= FEW and job.recipe.training.order is None
    counts = [count, MOST_PARTS] if few and detector.exact_without else [count]
    found = from_one_fit(job, detector, rows, counts, run)
    factor = 1.0
    if found is None:
        count = job.folds(rows)
        scores = from_refits(job, rows, count, run)
    elif len(found) == 1:
        (scores,) = found
    else:
        one, fewer = found
        factors = {name: shift(one, count, fewer, MOST_PARTS, name) for name in COLUMNS.values()}
        factor = factors["score"]
        scores = [scaled(row, factors | {"peak": factors["max"]}) for row in one]
    how = "leave one out" if 0 < count == len(rows) else f"{count} folds"
    how += f", scores times {factor:.4f}" if factor < 1 else ""
    return sorted(scores, key=lambda row: row["path"]), how


def shift(scores: Scores, count: int, fewer: Scores, parts: int, name: str = "score") -> float:
    """How much lower the scores in a column are, as a factor of 0.8 to 1, if nothing is left out.

    scores: with one of `count` parts left out; fewer: with one of `parts`, which are larger. Scores
    are taken to fall with a power of the number of images. 1 where a score is not positive.
    """
    one = {row["path"]: float(row[name]) for row in scores}
    two = {row["path"]: float(row[name]) for row in fewer}
    if not fewer or min((*one.values(), *two.values())) <= 0:
        return 1.0
    change = sum(math.log(two[path] / one[path]) for path in one) / len(one)
    known, less = math.log1p(-1 / count), math.log1p(-1 / parts)  # of the share that is known
    return min(1.0, max(0.8, math.exp(change * known / (known - less))))


def scaled(row: dict[str, Any], factors: dict[str, float]) -> dict[str, Any]:
    """A row of calibration.csv with each of these columns times its factor."""
    return row | {name: repr(factor * float(row[name])) for name, factor in factors.items()}


def from_one_fit(
    job: FitJob, detector: Detector, rows: Rows, counts: list[int], run: Run
) -> list[Scores] | None:
    """Scores of all rows by the detector without each of `count` parts of them, for each count;
    None if it cannot do that. Maps are kept of the first."""
    if not (counts[0] and detector.reads_features) or job.shared:
        return None
    ways = [sorted(groups_of(job.parts(rows, count), count), key=len) for count in counts]
    groups = [group for way in ways for group in way]
    tiles = count_tiles(job.recipe.image.size, job.recipe.image.tile)
    places = [[tiles * i + tile for i in group for tile in range(tiles)] for group in groups]
    loader = job.feature_loader(detector, rows, run)
    found = detector.left_out(loader.batches(groups), places, run)
    if found is None:
        return None
    jobs = [job, *(replace(job, edge=EdgeMaps()) for _ in ways[1:])]
    return [
        scored(one, loader, rows, way, islice(found, len(way)))
        for one, way in zip(jobs, ways, strict=True)
    ]


def from_refits(job: FitJob, rows: Rows, count: int, run: Run) -> Scores:
    """Scores of all rows, each part of them by a detector that is fitted on the others."""
    scores: Scores = []
    for number, group in enumerate(groups_of(job.parts(rows, count), count) if count > 1 else []):
        job.listener.report(f"fold {number + 1}/{count}", number / count)
        part_run = Run(run.device, should_stop=run.should_stop, precision=run.precision)
        seen = [row for i, row in enumerate(rows) if i not in set(group)]
        detector = job.again(seen, part_run)
        if detector.reads_features:
            loader = job.feature_loader(detector, rows, run)
            found = (detector.predict(batch.image) for batch in loader.batches([group]))
            scores += scored(job, loader, rows, [group], found)
        else:
            scores += job.score(detector, [rows[i] for i in group])
    return scores


def groups_of(parts: list[int], count: int) -> Groups:
    """The images of each part, from the part of each image."""
    groups: Groups = [[] for _ in range(count)]
    for index, part in enumerate(parts):
        groups[part].append(index)
    return groups


def scored(
    job: FitJob, loader: FeatureLoader, rows: Rows, groups: Groups, found: Iterable[Prediction]
) -> Scores:
    """Scores of the images of each group from the predictions of their tiles."""
    preprocess = Preprocess(job.recipe.image)
    tiles = count_tiles(job.recipe.image.size, job.recipe.image.tile)
    scores: Scores = []
    for number, (group, prediction) in enumerate(zip(groups, found, strict=True)):
        job.listener.report(f"left out {number + 1}/{len(groups)}", number / len(groups))
        shapes = [loader.shape(index) for index in group]
        seen = inspections(preprocess, as_arrays(prediction), [tiles] * len(group), shapes)
        scores += [job.score_row(rows[i], one) for i, one in zip(group, seen, strict=True)]
    return scores
