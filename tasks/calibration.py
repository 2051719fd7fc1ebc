"""Which images set the thresholds and which test them: never the same."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tasks.sections import Severity
from tasks.severity import counts, without_ignored
from tasks.split import split

Row = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """Rows of the manifest, each part in the order given."""

    test: list[Row]  # what figures and gates report on
    calibration: list[Row]  # defects, and good images of an explicit calibration split


def parted(rows: list[Row], share: float, severity: Severity | None = None) -> Parts:
    """Rows parted in two: `share` of each type's test defects calibrates, the rest is reported.

    rows: splits test and calibration of the manifest. An image's side follows from its content,
    like in `split`, so that new images move no old ones; copies fall on one side together. Of a
    type with one image none is taken. Images of severity ignore are left out of both, and
    defects too small to count never calibrate.
    """
    severity = severity or Severity()
    kept = without_ignored(rows, severity)
    taken = drawn([row for row in kept if counts(row, severity)], share)
    test = [row for row in kept if row["split"] == "test" and row["path"] not in taken]
    held = [row for row in kept if row["split"] == "calibration" or row["path"] in taken]
    return Parts(test, [row for row in held if row["label"] == "good" or counts(row, severity)])


def drawn(rows: list[Row], share: float) -> set[str]:
    """Paths of the test defects that calibrate: `share` of each type."""
    types: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["split"] == "test" and row["label"] != "good":
            types[row["label"]].append(row)
    if share == 0:
        return set()
    taken = set()
    for members in types.values():
        contents = list(dict.fromkeys(row["sha256"] for row in members))
        held = dict(zip(contents, split(contents, share), strict=True))
        taken |= {row["path"] for row in members if held[row["sha256"]]}
    return taken


def identity(rows: list[Row]) -> str:
    """sha256 of what a set of images is: paths, contents and labels, in order."""
    facts = [[str(row[key]) for key in ("path", "sha256", "label", "mask")] for row in rows]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
