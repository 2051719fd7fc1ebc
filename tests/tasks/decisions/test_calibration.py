import hashlib

import pytest

from tasks.decisions.calibration import images_identity, split_rows
from tasks.spec.schema import Severity


def row(path, sha=None, **more):
    split, label, _ = path.split("/")
    sha = sha or hashlib.sha256(path.encode()).hexdigest()
    return {"path": path, "split": split, "label": label, "sha256": sha, "mask": "", **more}


def product(counts):
    return [row(f"test/{label}/{i:03d}.png") for label, n in counts.items() for i in range(n)]


ROWS = product({"good": 30, "crack": 40, "dent": 7, "hole": 2, "stain": 1})


def paths(rows):
    return [row["path"] for row in rows]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_no_image_calibrates_and_tests(share):
    parts = split_rows(ROWS, share)
    assert sorted(paths(parts.test) + paths(parts.defects)) == sorted(paths(ROWS))
    assert paths(parts.test) == [path for path in paths(ROWS) if path in paths(parts.test)]


def test_each_type_gives_its_share_and_keeps_one():
    held = [row["label"] for row in split_rows(ROWS, 0.3).defects]
    assert 6 <= held.count("crack") <= 18
    assert 1 <= held.count("dent") <= 6
    assert (held.count("hole"), held.count("stain"), held.count("good")) == (1, 0, 0)


def test_no_share_takes_nothing():
    assert paths(split_rows(ROWS, 0).test) == paths(ROWS)


def test_new_images_move_old_ones_only_at_the_extremes():
    before = set(paths(split_rows(ROWS, 0.3).defects))
    more = split_rows(ROWS + product({"crack": 80, "dent": 20})[40:], 0.3)
    after = set(paths(more.defects))
    assert len({path for path in paths(ROWS) if (path in before) != (path in after)}) <= 4


def test_copies_fall_on_one_side():
    rows = [row(f"test/crack/{i}.png", sha="ab" * 32) for i in range(4)]
    rows += [row("test/crack/x.png", sha="ff" * 32)]
    assert paths(split_rows(rows, 0.01).defects) == paths(rows[:4])


def test_an_explicit_calibration_split_is_honoured():
    rows = [row("calibration/good/1.png"), row("calibration/crack/1.png"), row("test/crack/2.png")]
    parts = split_rows(rows, 0)
    assert paths(parts.defects) == ["calibration/crack/1.png"]
    assert paths(parts.normals) == ["calibration/good/1.png"]
    assert paths(parts.test) == ["test/crack/2.png"]


def test_defects_put_aside_leave_the_test_set_whole():
    parts = split_rows([*ROWS, row("calibration/crack/1.png")], 0.5)
    assert paths(parts.test) == paths(ROWS)
    assert paths(parts.defects) == ["calibration/crack/1.png"]
    aside = split_rows([*ROWS, row("calibration/good/1.png")], 0.5)
    assert paths(aside.defects) == paths(split_rows(ROWS, 0.5).defects)


def test_what_does_not_count_neither_tests_nor_calibrates():
    severity = Severity(types={"dust": "ignore"}, major={"min_area": 50})
    size = {"mask": "m.png", "mask_width": "10", "mask_height": "10"}
    rows = [
        row("calibration/dust/1.png"),
        row("test/dust/1.png"),
        row("calibration/crack/1.png", **size, mask_share="0.49"),
        row("calibration/crack/2.png", **size, mask_share="0.5"),
        row("test/crack/3.png", **size, mask_share="0.01"),
    ]
    parts = split_rows(rows, 0, severity)
    assert paths(parts.defects) == ["calibration/crack/2.png"]
    assert paths(parts.test) == ["test/crack/3.png"]


def test_small_defects_stay_in_the_test_set():
    size = {"mask": "m.png", "mask_width": "10", "mask_height": "10", "mask_share": "0.1"}
    rows = [dict(row(f"test/crack/{i}.png"), **size) for i in range(20)]
    assert len(split_rows(rows, 0.5, Severity(major={"min_area": 11})).test) == 20
    assert len(split_rows(rows, 0.5, Severity(major={"min_area": 10})).test) < 20


@pytest.mark.parametrize("key", ["path", "sha256", "label", "mask"])
def test_a_set_is_another_when_an_image_is(key):
    changed = [dict(ROWS[0], **{key: "other"}), *ROWS[1:]]
    assert images_identity(changed) != images_identity(ROWS)
    assert images_identity([dict(r, brightness=1) for r in ROWS]) == images_identity(ROWS)
