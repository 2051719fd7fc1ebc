"""Misses by defect type and by severity class."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasks.metrics.bounds import upper_limit
from tasks.spec.schema import Severity, SeverityName
from tasks.workspace.errors import DataError

CLASSES: tuple[SeverityName, ...] = ("critical", "major", "minor")
CONFIDENCE = 0.95  # of the upper limit of each miss rate
NAMED = 5  # files that a reason names; the record holds all of them
Row = dict[str, Any]
Decided = list[tuple[Row, str]]  # rows of the manifest with their decisions


@dataclass(frozen=True)
class MissCount:
    """The defective images of a class or a type, and those that passed as good."""

    severity: SeverityName
    n: int  # images that count
    missed: int
    review: int  # sent to review: not a miss, a person checks them
    small: int  # not counted: smaller than the class's min_area
    miss: float | None  # missed / n; None without images
    miss_upper: float | None  # one-sided 95 % Clopper-Pearson limit
    files: list[str]  # the missed ones, sorted


@dataclass(frozen=True)
class SeverityReport:
    classes: dict[SeverityName, MissCount]
    types: dict[str, MissCount]
    blocking: list[str]  # why no model with these decisions may be promoted
    notes: list[str]

    def record(self) -> dict[str, Any]:
        """As a dict for JSON."""
        return asdict(self)


def severity_report(
    rows: Sequence[Row], decisions: Sequence[str], severity: Severity
) -> SeverityReport:
    """Misses per class and type, and reasons that block a promotion.

    rows: the reported test set; decisions: good, review or defect, in the same order, or empty if
    there is no threshold: then misses are unknown.
    """
    odd = sorted(set(decisions) - {"good", "review", "defect", ""})
    if len(rows) != len(decisions) or odd:
        have = f"{len(rows)} images and {len(decisions)} decisions {odd or ''}".rstrip()
        raise DataError(f"{have}; give good, review or defect for each image")
    decided = [pair for pair in zip(rows, decisions, strict=True) if pair[0]["label"] != "good"]
    by_type: dict[str, Decided] = {row["label"]: [] for row, _ in decided}
    by_class: dict[SeverityName, Decided] = {name: [] for name in CLASSES}
    for row, decision in decided:
        taken = [(row, decision)] if decision else []
        by_type[row["label"]] += taken
        by_class.setdefault(severity.of(row["label"]), []).extend(taken)
    by_class.pop("ignore", None)
    classes = {name: count_misses(part, name, severity) for name, part in by_class.items()}
    types = {
        label: count_misses(part, severity.of(label), severity)
        for label, part in sorted(by_type.items())
        if severity.of(label) != "ignore"
    }
    notes = unseen_type_notes(set(by_type), severity)
    return SeverityReport(classes, types, blocking_reasons(classes, severity), notes)


def count_misses(decided: Decided, name: SeverityName, severity: Severity) -> MissCount:
    """Count misses among defects of the same class."""
    counted = [(row, decision) for row, decision in decided if is_counted(row, severity)]
    files = sorted(row["path"] for row, decision in counted if decision == "good")
    n, missed = len(counted), len(files)
    return MissCount(
        severity=name,
        n=n,
        missed=missed,
        review=sum(decision == "review" for _, decision in counted),
        small=len(decided) - n,
        miss=missed / n if n else None,
        miss_upper=upper_limit(missed, n, CONFIDENCE) if n else None,
        files=files,
    )


def blocking_reasons(classes: dict[SeverityName, MissCount], severity: Severity) -> list[str]:
    """A reason for each class that misses more than its limit."""
    reasons = []
    for name, found in classes.items():
        limit = severity.limits(name).miss
        if limit is None or found.miss is None or found.miss <= limit:
            continue
        more = ", ..." if found.missed > NAMED else ""
        reasons.append(
            f"{found.missed} of {found.n} {name} defects missed ({found.miss:.1%}, at most "
            f"{limit:.1%} may be): {', '.join(found.files[:NAMED])}{more}"
        )
    return reasons


def unseen_type_notes(labels: set[str], severity: Severity) -> list[str]:
    """A note for each type in the spec that no test image shows: a typo, or no test data."""
    return [
        f"severity.types names {label} ({name}), but no test image shows it: its misses are unknown"
        for label, name in sorted(severity.types.items())
        if label not in labels and name != "ignore"
    ]


def without_ignored(rows: Sequence[Row], severity: Severity) -> list[Row]:
    """The rows used for figures: all except types of severity ignore."""
    return [row for row in rows if row["label"] == "good" or severity.of(row["label"]) != "ignore"]


def is_counted(row: Row, severity: Severity) -> bool:
    """Whether it is a miss if this defective image passes; an image without a mask always
    counts."""
    name = severity.of(row["label"])
    area = mask_area(row)
    return name != "ignore" and (area is None or area >= severity.limits(name).min_area)


def mask_area(row: Row) -> int | None:
    """Number of defective pixels of a manifest row; None without a mask."""
    facts = [row.get(key) for key in ("mask_width", "mask_height", "mask_share")]
    if not row.get("mask") or any(fact in (None, "") for fact in facts):
        return None
    width, height, share = (float(str(fact)) for fact in facts)
    return round(width * height * share)
