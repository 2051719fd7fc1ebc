import json

import numpy as np
import pytest
from scipy import stats

from tasks.decisions.severity import is_counted, mask_area, severity_report, without_ignored
from tasks.spec.schema import Severity
from tasks.workspace.errors import DataError

SPEC = Severity(
    types={"crack": "critical", "scratch": "minor", "dust": "ignore"},
    minor={"min_area": 20, "miss": 0.5},
)


def row(label, name, area=None):
    facts = {"mask": "", "mask_width": "", "mask_height": "", "mask_share": ""}
    if area is not None:
        facts = {"mask": "m", "mask_width": "640", "mask_height": "480"}
        facts["mask_share"] = repr(round(area / (640 * 480), 8))  # as the manifest has it
    return {"path": f"test/{label}/{name}.png", "label": label, **facts}


def report(*pairs, spec=SPEC):
    return severity_report([r for r, _ in pairs], [d for _, d in pairs], spec)


def test_one_missed_critical_defect_blocks():
    cracks = [(row("crack", f"{i:02d}"), "defect") for i in range(19)]
    found = report(*cracks, (row("crack", "99"), "good"), (row("good", "1"), "good"))
    assert found.blocking == [
        "1 of 20 critical defects missed (5.0%, at most 0.0% may be): test/crack/99.png"
    ]
    assert found.classes["critical"].miss == 0.05
    interval = stats.binomtest(1, 20).proportion_ci(0.9, method="exact")
    assert found.types["crack"].miss_upper == pytest.approx(interval.high, rel=1e-6)
    assert not report(*cracks).blocking


def test_other_classes_block_above_their_limit_only():
    seen = (row("scratch", "1"), "defect")
    assert not report((row("scratch", "2"), "good"), seen).blocking  # half is the limit
    assert report((row("scratch", "2"), "good"), (row("scratch", "3"), "good"), seen).blocking
    assert not report((row("dent", "1"), "good")).blocking  # major has no limit


def test_without_a_threshold_misses_are_unknown():
    found = report((row("crack", "1"), ""), (row("good", "1"), ""), (row("scratch", "1", 30), ""))
    assert [(one.n, one.miss) for one in found.classes.values()] == [(0, None)] * 3
    assert set(found.types) == {"crack", "scratch"} and not found.blocking and not found.notes


def test_review_is_no_miss():
    found = report((row("crack", "1"), "review"))
    assert (found.classes["critical"].missed, found.classes["critical"].review) == (0, 1)
    assert not found.blocking


def test_small_defects_are_left_out_by_the_area_of_their_class():
    found = report(
        (row("scratch", "small", 19), "good"),
        (row("scratch", "enough", 20), "good"),
        (row("scratch", "unknown"), "defect"),
        (row("dent", "small", 1), "good"),
    )
    tally = found.types["scratch"]
    assert (tally.n, tally.missed, tally.small) == (2, 1, 1)
    assert tally.files == ["test/scratch/enough.png"]
    assert found.types["dent"].missed == 1


def test_ignored_images_count_neither_way():
    dust = (row("dust", "1"), "good")
    found = report(dust, (row("dent", "1"), "defect"))
    assert list(found.types) == ["dent"]
    assert sum(tally.n for tally in found.classes.values()) == 1
    rows = [row("good", "1"), dust[0], row("dent", "1")]
    assert without_ignored(rows, SPEC) == [rows[0], rows[2]]


def test_the_default_class():
    found = report((row("new", "1"), "good"), spec=Severity(default="critical"))
    assert found.blocking
    assert not report((row("new", "1"), "good"), spec=Severity(default="ignore")).blocking


def test_a_named_type_without_images_is_noted():
    found = report((row("crakc", "1"), "good"))
    assert not found.blocking
    assert found.notes[0].startswith("severity.types names crack (critical), but no test image")


@pytest.mark.parametrize("area", [1, 7, 100_003])
def test_the_mask_area_survives_the_manifest(area):
    mask = np.arange(1536 * 2048).reshape(1536, 2048) < area
    facts = {"mask": "m", "mask_width": "2048", "mask_height": "1536"}
    assert mask_area({**facts, "mask_share": str(round(float(mask.mean()), 8))}) == area


def test_totals_over_classes_and_types_agree():
    rng = np.random.default_rng(0)
    labels = ["good", "crack", "scratch", "dent", "dust"]
    pairs = [
        (row(labels[rng.integers(5)], str(i), int(rng.integers(40))), decision)
        for i, decision in enumerate(rng.choice(["good", "review", "defect"], 300))
    ]
    found = report(*pairs)
    for name in ("n", "missed", "review", "small"):
        by_class = sum(getattr(tally, name) for tally in found.classes.values())
        assert by_class == sum(getattr(tally, name) for tally in found.types.values())
    missed = [r["path"] for r, d in pairs if d == "good" and r["label"] != "good"]
    missed = {p for (r, d) in pairs if (p := r["path"]) in missed and is_counted(r, SPEC)}
    assert {p for tally in found.types.values() for p in tally.files} == missed
    assert json.loads(json.dumps(found.record()))["blocking"] == found.blocking


@pytest.mark.parametrize("decisions", [["good"], ["good", "fine"]])
def test_decisions_that_do_not_fit_are_refused(decisions):
    with pytest.raises(DataError, match="2 images and"):
        severity_report([row("good", "1"), row("dent", "1")], decisions, SPEC)
