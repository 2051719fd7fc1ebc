"""Findings, counts and ranges for the result of a validation."""

import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tasks.checks.appearance import Bounds

if TYPE_CHECKING:
    import pandas

LISTED = 50  # warnings of one check that are listed one by one


def failures_and_warnings(
    findings: list[tuple[bool, dict[str, str]]],
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Failures, and warnings; a warning about the same check and file as a failure is left out."""
    failures = unique_findings([finding for severe, finding in findings if severe])
    failed = {(finding["check"], finding["file"]) for finding in failures}
    warnings = unique_findings([finding for severe, finding in findings if not severe])
    return failures, [item for item in warnings if (item["check"], item["file"]) not in failed]


def unique_findings(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    """Findings without repeats: a wrong size is found in the width and in the height."""
    return list({tuple(finding.items()): finding for finding in findings}.values())


def shorten_findings(findings: list[dict[str, str]]) -> list[dict[str, str]]:
    """At most LISTED findings of each check, and a line for those left out."""
    kept: list[dict[str, str]] = []
    for check in dict.fromkeys(finding["check"] for finding in findings):
        same = [finding for finding in findings if finding["check"] == check]
        kept += same[:LISTED]
        if len(same) > LISTED:
            more = f"and {len(same) - LISTED} more images of this kind"
            kept.append({"check": check, "file": "", "reason": more})
    return kept


def image_counts(
    frame: "pandas.DataFrame",
    failures: list[dict[str, str]],
    warnings: list[dict[str, str]],
) -> dict[str, Any]:
    """Number of images in each part, and number of findings."""
    test = frame[frame.split == "test"]
    defective = test[test.label != "good"]
    return {
        "images": len(frame),
        "train_good": int((frame.split == "train").sum()),
        "test_good": int((test.label == "good").sum()),
        "test_defective": len(defective),
        "calibration": int((frame.split == "calibration").sum()),
        "defects": {str(k): int(v) for k, v in defective.label.value_counts().sort_index().items()},
        "masks": int((frame["mask"] != "").sum()),
        "unreadable": int((frame.error != "").sum()),
        "failures": len(failures),
        "warnings": len(warnings),
    }


def value_ranges(
    frame: "pandas.DataFrame", bounds: dict[str, Bounds]
) -> dict[str, dict[str, float]]:
    """Minimum, median and maximum of each measure, and its usual range."""
    measured = {}
    for name in ("width", "height", "bytes", "brightness", "sharpness"):
        values = frame[name].dropna().tolist()
        if values:
            middle = statistics.median_low(values)
            measured[name] = {"min": min(values), "median": middle, "max": max(values)}
        if values and name in bounds:
            measured[name] |= asdict(bounds[name])
    return measured
