"""What the decisions of a model mean for a factory, in sentences for terminal and pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.documents.metrics import Metrics
from tasks.documents.threshold import Thresholds

Intervals = Mapping[str, Sequence[float | None] | None]
COMPARED = {  # what a threshold is compared with
    "model": "",
    "max": ", for the highest value of the heat map",
    "top": ", for the mean of the highest 1 % of the heat map",
}
NAMED = 3  # images that a sentence names


def outcome(metrics: Metrics, intervals: Intervals) -> str:
    """Of 100 defects so many pass, of 100 good parts so many are rejected; with 95 % intervals."""
    missed = _of_100(metrics.miss, intervals.get("miss"), "defects", "passes", "pass")
    rejected = _of_100(
        metrics.overkill, intervals.get("overkill"), "good parts", "is rejected", "are rejected"
    )
    missed = missed or "misses are unmeasured (no defective test images)"
    rejected = rejected or "overkill is unmeasured (no good test images)"
    return f"{missed[0].upper()}{missed[1:]}; {rejected}"


def _of_100(
    share: float | None,
    ends: Sequence[float | None] | None,
    what: str,
    one: str,
    several: str,
) -> str:
    if share is None:
        return ""
    count = f"{100 * share:.0f}" if share == 0 or share >= 0.01 else f"{100 * share:.1f}"
    verb = one if count == "1" else several
    low, high = ends if ends and len(ends) == 2 else (None, None)
    between = "" if low is None or high is None else f" ({100 * low:.0f} to {100 * high:.0f})"
    return f"of 100 {what} about {count} {verb}{between}"


def edge_line(edge: Mapping[str, Any], threshold: float | None) -> str:
    """Which good images set the threshold, and what it would be without them; empty if unknown."""
    highest, without = edge.get("images") or [], edge.get("without") or {}
    other = without.get("threshold")
    if not highest or other is None or threshold is None:
        return ""
    paths = [image["path"] for image in highest]
    named = ", ".join(paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")
    images = "image" if len(paths) == 1 else "images"
    kind = f"odd good {images}" if edge.get("odd") else f"good {images} with the highest scores"
    found = f"{len(paths)} {kind} of {edge['of']} ({named}): without them the threshold would be"
    if other == threshold:
        return f"{found} the same"
    shares = [
        f"{name} {without[name]:.1%}"
        for name in ("miss", "overkill")
        if without.get(name) is not None
    ]
    effect = f" ({', '.join(shares)} of the test images)" if shares else ""
    return f"{found} {other:.4g} instead of {threshold:.4g}{effect}"


def threshold_lines(thresholds: Thresholds, edge: Mapping[str, Any]) -> list[str]:
    """How the threshold was chosen, what it promises, and who set it."""
    lines = []
    if thresholds.threshold is not None:
        scored = COMPARED[thresholds.score_rule]
        lines.append(f"threshold {thresholds.threshold:.4g} by {thresholds.policy_used}{scored}")
        if thresholds.overkill_upper is not None:
            mean = thresholds.overkill_bound
            average = f"{mean:.1%} on average and " if mean is not None else ""
            upper, n = thresholds.overkill_upper, thresholds.calibration_images
            lines.append(
                f"by {n} good images it rejects {average}{upper:.1%} of good parts at most"
            )
    lines += [thresholds.note] if thresholds.note else []
    said = edge_line(edge, thresholds.threshold)
    return lines + ([said] if said else [])
