"""When a run is due: counted against what the last validation saw."""

import pytest

from tasks.monitoring.due import News, due, news, note_drift, reason
from tasks.spec.schema import Retrain
from tasks.workspace.files import write_rows, write_text
from tasks.workspace.paths import Workspace


@pytest.mark.parametrize(
    ("came", "rules", "drifted", "expected"),
    [
        ((1, 0), {}, False, "1 new images"),
        ((0, 5), {}, False, ""),
        ((0, 5), {"relabelled": 5}, False, "5 relabelled"),
        ((9, 4), {"new_images": 10, "relabelled": 5}, False, ""),
        ((9, 5), {"new_images": 10, "relabelled": 5}, False, "9 new images, 5 relabelled"),
        ((9, 0), {"new_images": None}, False, ""),
        ((9, 0), {"new_images": 10}, True, "drift, 9 new images"),
        ((0, 1), {"new_images": 10}, True, "drift, 1 relabelled"),
        ((0, 0), {}, True, ""),  # nothing to train on
        ((9, 0), {"new_images": 10, "drift": False}, True, ""),
    ],
)
def test_reasons(came, rules, drifted, expected):
    assert reason(News(*came), Retrain(**rules), drifted) == expected


@pytest.fixture
def workspace(tmp_path):
    """cap with four images, of which the last validation saw three, one of them dropped."""
    found = Workspace(tmp_path)
    names = ["train/good/1.png", "test/good/2.png", "test/scratch/3.png", "test/good/4.png"]
    for name in names:
        write_text(found.images("cap") / name, "")
    rows = [
        {"path": name, "label": name.split("/")[1], "mask": ""}
        for name in ("train/good/1.png", "test/scratch/3.png")
    ]
    found.validation("cap").mkdir(parents=True)
    write_rows(found.validation("cap") / "manifest.csv", ["path", "label", "mask"], rows)
    correct(found, "test/good/2.png: {label: drop, by: anna, why: blurred}")
    return found


def correct(workspace, *lines):
    write_text(workspace.corrections("cap"), "\n".join(lines))


def test_what_was_dropped_before_is_not_new(workspace):
    assert news(workspace, "cap") == News(1, 0)


def test_labels_that_changed_are_counted_once(workspace):
    correct(
        workspace,
        "test/good/2.png: {label: drop, by: anna, why: blurred}",
        "train/good/1.png: {label: scratch, by: anna, why: seen}",
        "test/scratch/3.png: {label: drop, by: anna, why: blurred}",
        "test/good/4.png: {label: scratch, by: anna, why: seen}",  # is new: no second time
    )
    assert news(workspace, "cap") == News(1, 2)
    correct(workspace)
    assert news(workspace, "cap") == News(2, 0)  # what is dropped no more comes back


def test_a_mask_that_came_later_counts_as_an_image(workspace):
    write_text(workspace.images("cap") / "ground_truth" / "scratch" / "3_mask.png", "")
    assert news(workspace, "cap") == News(2, 0)


def test_before_the_first_validation_all_is_new(workspace):
    (workspace.validation("cap") / "manifest.csv").unlink()
    assert news(workspace, "cap") == News(3, 0)


def test_the_spec_decides_and_drift_is_remembered(workspace):
    write_text(workspace.product("cap") / "product.yaml", "retrain: {new_images: 3}")
    assert due(workspace, "cap") == ""
    note_drift(workspace, "cap", ["score"])
    assert due(workspace, "cap") == "drift, 1 new images"
    note_drift(workspace, "cap", [])
    assert due(workspace, "cap") == ""
    assert due(workspace, "cap", drifted=True)
