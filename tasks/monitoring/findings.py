"""Whether production still resembles the data that a release was made from.

Scores and looks are compared by the greatest distance between their distribution functions
(Kolmogorov-Smirnov), less what chance makes of samples of these sizes; rejects by the lower
Clopper-Pearson limit of their rate. With few parts, finding no drift does not mean
that there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.decisions.score_rule import COLUMNS
from tasks.documents.prediction import Prediction
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.metrics.bounds import upper_limit
from tasks.spec.schema import Drift
from tasks.workspace.files import read_rows
from tasks.workspace.paths import CALIBRATION

LOOKS = "looks.csv"  # of a release: brightness and sharpness of the good training images
MEASURES = ("brightness", "sharpness")
QUANTILES = (0.5, 0.9, 0.99)
CONFIDENCE = 0.99  # of each alarm
FEWEST = 20  # values of the reference below which nothing is said
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """What a release knows of good parts."""

    scores: Floats  # (n,) raw scores of good parts that no fit saw and that pass
    overkill: float  # share of good parts rejected, expected at most
    looks: dict[str, Floats]  # measure -> (m,) of good training images; empty: not recorded


@dataclass(frozen=True)
class Finding:
    """One comparison. Without enough parts, distance is None and nothing drifted."""

    name: str
    parts: int
    distance: float | None  # certain part of the distance; of rejects: certain part of the excess
    limit: float
    drifted: bool
    now: dict[str, float]
    reference: dict[str, float]


def drift(records: Sequence[Prediction], reference: Reference, limits: Drift) -> list[Finding]:
    """Passed scores, rejects, brightness and sharpness of logged inspections of one release."""
    passed = [record for record in records if record.decision == "good"]
    found = [
        compare("score", _figures(passed, "score"), reference.scores, limits),
        rejects(records, reference.overkill, limits),
    ]
    for name in MEASURES:
        known = reference.looks.get(name, np.zeros(0))
        found.append(compare(name, _figures(records, name), known, limits))
    return found


def compare(name: str, now: Floats, reference: Floats, limits: Drift) -> Finding:
    """Two samples of one figure."""
    shown = quantiles(now), quantiles(reference)
    if len(now) < limits.parts or len(reference) < FEWEST:
        return Finding(name, len(now), None, limits.distance, False, *shown)
    certain = max(0.0, distance(now, reference) - chance(len(now), len(reference)))
    return Finding(name, len(now), certain, limits.distance, certain > limits.distance, *shown)


def distance(one: Floats, other: Floats) -> float:
    """Greatest distance between two empirical distribution functions, 0..1."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(one, other, method="asymp").statistic)


def chance(n: int, m: int) -> float:
    """The distance that two samples of one distribution exceed with 1 - CONFIDENCE at most
    (Smirnov's asymptotic bound)."""
    return float(np.sqrt(-np.log((1 - CONFIDENCE) / 2) / 2 * (n + m) / (n * m)))


def rejects(records: Sequence[Prediction], overkill: float, limits: Drift) -> Finding:
    """The rate of rejects against the release's overkill and the usual share of defects."""
    n, k = len(records), sum(record.decision == "defect" for record in records)
    expected = min(1.0, overkill + limits.defects)
    now, known = ({"rate": k / n} if n else {}), {"rate": expected}
    if n < limits.parts:
        return Finding("rejects", n, None, 0.0, False, now, known)
    lower = 1 - upper_limit(n - k, n, CONFIDENCE)
    excess = max(0.0, lower - expected)
    return Finding("rejects", n, excess, 0.0, excess > 0, now, known)


def quantiles(values: Floats) -> dict[str, float]:
    """QUANTILES of the values by name; empty without any."""
    if not len(values):
        return {}
    found = np.quantile(values, QUANTILES, method="inverted_cdf")
    return {f"{q:g}": float(v) for q, v in zip(QUANTILES, found, strict=True)}


def read_reference(folder: Path) -> Reference:
    """Of a release's folder. One made before looks were recorded has none."""
    decision = Thresholds.read(folder / THRESHOLD)
    accept, _ = decision.limits
    scores = _values(read_rows(folder / CALIBRATION), COLUMNS[decision.score_rule])
    looks = read_rows(folder / LOOKS) if (folder / LOOKS).is_file() else []
    return Reference(
        scores=scores[scores <= accept],
        overkill=decision.overkill_bound or 0.0,
        looks={name: _values(looks, name) for name in MEASURES} if looks else {},
    )


def _values(rows: Sequence[dict[str, str]], name: str) -> Floats:
    return np.array([row[name] for row in rows], np.float64)


def _figures(records: Sequence[Prediction], name: str) -> Floats:
    """The figures of the records that have one."""
    known = (record.figure(name) for record in records)
    return np.array([value for value in known if value is not None], np.float64)
