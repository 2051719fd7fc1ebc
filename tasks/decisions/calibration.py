"""Which images set the thresholds and which test them; no image does both."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tasks.decisions.severity import is_counted, without_ignored
from tasks.decisions.split import held_out
from tasks.spec.schema import Severity

Row = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """Rows of the manifest; each part keeps the given order."""

    test: list[Row]  # for figures and gates
    defects: list[Row]  # set thresholds
    normals: list[Row]  # good images for thresholds; empty: images that the fit did not use


def split_rows(rows: list[Row], share: float, severity: Severity | None = None) -> Parts:
    """Rows split by use. Defects of the split `calibration` calibrate. If it has none, `share` of
    each type's test defects calibrate. The rest of the test set is reported.

    rows: splits test and calibration of the manifest. The content of an image decides its part, as
    in `held_out`, so new images do not move old ones, and copies stay together. A type with only
    one image keeps it in the test set. Images of severity ignore are left out. Defects that are too
    small to count never calibrate.
    """
    severity = severity or Severity()
    kept = without_ignored(rows, severity)
    aside = [row for row in kept if row["split"] == "calibration"]
    countable = [row for row in kept if row["label"] != "good" and is_counted(row, severity)]
    taken = {row["path"] for row in countable if row["split"] == "calibration"}
    taken = taken or calibration_paths(countable, share)
    return Parts(
        test=[row for row in kept if row["split"] == "test" and row["path"] not in taken],
        defects=[row for row in countable if row["path"] in taken],
        normals=[row for row in aside if row["label"] == "good"],
    )


def calibration_paths(rows: list[Row], share: float) -> set[str]:
    """Paths of the test defects used for calibration: `share` of each type."""
    types: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["split"] == "test" and row["label"] != "good":
            types[row["label"]].append(row)
    if share == 0:
        return set()
    taken = set()
    for members in types.values():
        contents = list(dict.fromkeys(row["sha256"] for row in members))
        held = dict(zip(contents, held_out(contents, share), strict=True))
        taken |= {row["path"] for row in members if held[row["sha256"]]}
    return taken


def images_identity(rows: list[Row]) -> str:
    """sha256 that identifies a set of images: paths, contents and labels, in order."""
    facts = [[str(row[key]) for key in ("path", "sha256", "label", "mask")] for row in rows]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
