"""Thresholds and labels changed by hand: checked, recorded, and nothing else touched."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from tasks.products import changing
from tasks.products.changing import edit_yaml, version_of
from tasks.products.correct import correct_label
from tasks.products.set_threshold import set_threshold
from tasks.spec.corrections import apply_corrections, read_corrections
from tasks.spec.read import read_product
from tasks.store.opening import store_of
from tasks.workspace.errors import (
    BusyError,
    ChangedError,
    DataError,
    LineError,
    SpecError,
    StoreError,
)
from tasks.workspace.lock import RUN, run_lock
from tasks.workspace.paths import Workspace

SPEC = """\
# The spec of cap: ask Maria before you change it.
image: {size: 64}   # small parts

threshold:
  policy: normal_quantile   # a promise, see the README
  # agreed with quality on 3 May
  overkill: 0.02
algorithms:
    - padim
severity:
  types: {"crack": critical, 'dust': ignore}  # quotes differ
schedule: "0 3 * * 1"
"""
IMAGES = ("train/good/1.png", "test/good/1.png", "test/crack/1.png", "test/dent/1.png")
WHO = {"by": "anna", "reason": "the customer asks for it"}


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text("defaults: {threshold: {overkill: 0.01}}\n")
    made = Workspace(tmp_path)
    for name in IMAGES:
        path = made.images("cap") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    spec(made).write_text(SPEC)
    return made


def spec(workspace):
    return workspace.product("cap") / "product.yaml"


def records(workspace, kind=""):
    store = store_of(workspace)
    keys = [key for key in store.keys("records/cap/") if f"-{kind}" in key]
    return [json.loads(store.get(key)) for key in keys]


def test_a_value_is_a_fixed_threshold_and_leaves_all_else_as_it_was(workspace):
    set_threshold(workspace, "cap", {"value": 4.25}, **WHO)
    text = spec(workspace).read_text().replace("  value: 4.25\n", "")
    changed = "  policy: normal_quantile  "
    assert text == SPEC.replace(changed, changed.replace("normal_quantile", "fixed          "))
    found = read_product(workspace.root, "cap").threshold
    assert (found.policy, found.value, found.overkill) == ("fixed", 4.25, 0.02)


def test_the_record_says_who_when_why_and_what_stood_there(workspace):
    before = version_of(spec(workspace))
    told = set_threshold(workspace, "cap", {"overkill": 0.005}, **WHO)
    [record] = records(workspace, "threshold")
    assert record.items() >= WHO.items() and record["time"] and record["origin"]["host"]
    assert (record["old"]["overkill"], record["new"]["overkill"]) == (0.02, 0.005)
    assert record["what"] == "normal_quantile, overkill 0.02 → normal_quantile, overkill 0.005"
    assert record["before"] == before and record["after"] == version_of(spec(workspace))
    assert told["record"] in store_of(workspace).keys("records/cap/")


def test_a_rule_takes_the_place_of_a_value(workspace):
    set_threshold(workspace, "cap", {"value": 4.25}, **WHO)
    set_threshold(workspace, "cap", {"policy": "normal_quantile"}, **WHO)
    assert spec(workspace).read_text() == SPEC


def test_a_value_for_several_algorithms_is_warned_of(workspace):
    assert set_threshold(workspace, "cap", {"value": 4.25}, **WHO)["note"] == ""
    spec(workspace).write_text("algorithms: [padim, patchcore]")
    told = set_threshold(workspace, "cap", {"value": 4.25}, **WHO)
    assert "4.25 decides for all of padim, patchcore" in told["note"]
    assert set_threshold(workspace, "cap", {"policy": "f1_max"}, **WHO)["note"] == ""


@pytest.mark.parametrize(
    "text", ["", "# The spec of cap.\n", "# no line's end", "image: {size: 64}"]
)
def test_a_spec_without_a_threshold_gets_one(workspace, text):
    spec(workspace).write_text(text)
    set_threshold(workspace, "cap", {"policy": "max_overkill", "overkill": 0.05}, **WHO)
    assert spec(workspace).read_text().startswith(text)
    found = read_product(workspace.root, "cap").threshold
    assert (found.policy, found.overkill) == ("max_overkill", 0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "nothing to set"),
        ({"valeu": 1.0}, "no key 'valeu'.*did you mean 'value'"),
        ({"policy": "fixed"}, "give the raw score"),
        ({"value": float("nan")}, "threshold.value"),
        ({"value": float("inf")}, "threshold.value"),
        ({"value": "high"}, "threshold.value"),
        ({"overkill": 1.5}, "product.yaml: threshold.overkill: .*less than 1"),
        ({"policy": "median"}, "threshold.policy"),
        ({"policy": "normal_quantile", "value": 3.0}, "only under policy fixed"),
        ({"value": 1.0, "review": {"policy": "fixed", "value": 2.0}}, "smaller one"),
        ({"review": {"policy": "fixed"}}, "threshold.review.policy is fixed"),
        ({"overkill": 0.02}, "already has these values"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(workspace, change, message):
    with pytest.raises(LineError, match=message):
        set_threshold(workspace, "cap", change, **WHO)
    assert spec(workspace).read_text() == SPEC and not records(workspace)


@pytest.mark.parametrize(("by", "reason"), [(" ", "x"), ("anna", "\n"), ("anna", "x" * 501)])
def test_who_and_why_must_be_said(workspace, by, reason):
    with pytest.raises(LineError, match="must say something"):
        set_threshold(workspace, "cap", {"value": 1.0}, by=by, reason=reason)
    assert not records(workspace)


def test_of_two_engineers_the_second_is_told_to_look_again(workspace):
    seen = version_of(spec(workspace))
    set_threshold(workspace, "cap", {"value": 1.0}, seen=seen, **WHO)
    with pytest.raises(ChangedError, match="by somebody else in the meantime; look"):
        set_threshold(workspace, "cap", {"value": 2.0}, seen=seen, **WHO)
    assert read_product(workspace.root, "cap").threshold.value == 1.0
    assert len(records(workspace)) == 1


def test_many_at_once_lose_nothing(workspace):
    ready = threading.Barrier(8)

    def mark(number):
        ready.wait()
        if number % 2:
            set_threshold(workspace, "cap", {"value": float(number)}, by="b", reason="r")
        else:
            image = IMAGES[number // 2]
            correct_label(workspace, "cap", image, "drop", by="b", reason=f"r{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(mark, range(8)))
    assert {c.path for c in read_corrections(workspace.corrections("cap"))} == set(IMAGES)
    changes = sorted(records(workspace, "threshold"), key=lambda one: one["time"])
    assert len(changes) == 4 and len(records(workspace, "correction")) == 4
    assert {one["before"] for one in changes} >= {one["after"] for one in changes} - {
        version_of(spec(workspace))
    }


def test_a_run_holds_the_workspace(workspace, monkeypatch):
    monkeypatch.setattr(changing, "PATIENCE", 0.1)
    with run_lock(workspace, what=RUN), pytest.raises(BusyError, match="in use: a run since"):
        set_threshold(workspace, "cap", {"value": 1.0}, **WHO)
    assert spec(workspace).read_text() == SPEC and not records(workspace)


def test_without_a_record_there_is_no_change(workspace, monkeypatch):
    def away(*_):
        raise StoreError("the store is away")

    monkeypatch.setattr(changing, "record", away)
    with pytest.raises(StoreError, match="away"):
        set_threshold(workspace, "cap", {"value": 1.0}, **WHO)
    assert spec(workspace).read_text() == SPEC


def test_without_a_change_there_is_no_record(workspace, monkeypatch):
    def full(path, text):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(changing, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        set_threshold(workspace, "cap", {"value": 1.0}, **WHO)
    assert not records(workspace)


def test_a_label_is_corrected_with_who_and_why_and_remarks_stay(workspace):
    file = workspace.corrections("cap")
    remark = "# seen with Maria\ntest/dent/1.png: {label: crack, by: otto, why: 'deep: see it'}\n"
    file.write_text(remark)
    correct_label(workspace, "cap", "test/good/1.png", "crack", **WHO)
    assert file.read_text().startswith(remark)
    [_, mine] = read_corrections(file)
    assert mine.path == "test/good/1.png"
    assert (mine.entry.label, mine.entry.by, mine.entry.why) == ("crack", *WHO.values())
    [record] = records(workspace, "correction")
    assert (record["image"], record["old"], record["new"]) == ("test/good/1.png", "good", "crack")


def test_a_correction_is_taken_back_by_the_label_of_the_folder(workspace):
    correct_label(workspace, "cap", "test/dent/1.png", "good", **WHO)
    told = correct_label(workspace, "cap", "test/dent/1.png", "dent", seen="good", **WHO)
    assert (told["old"], told["new"]) == ("good", "dent")
    rows = [{"path": p, "label": p.split("/")[1], "split": "test", "mask": ""} for p in IMAGES]
    assert apply_corrections(rows, read_corrections(workspace.corrections("cap"))) == rows


@pytest.mark.parametrize(
    ("image", "label", "error", "message"),
    [
        ("test/good/7.png", "crack", DataError, "no image test/good/7.png"),
        ("../../../etc/passwd", "crack", DataError, "no image"),
        ("test/good/1.png", "crak", SpecError, "did you mean 'crack'"),
        ("test/good/1.png", "a/b", SpecError, "label"),
        ("test/good/1.png", "", SpecError, "label"),
    ],
)
def test_a_wrong_correction_is_refused(workspace, image, label, error, message):
    with pytest.raises(error, match=message):
        correct_label(workspace, "cap", image, label, **WHO)
    assert not workspace.corrections("cap").exists() and not records(workspace)


def test_two_who_correct_one_image_do_not_overwrite_each_other(workspace):
    correct_label(workspace, "cap", "test/good/1.png", "dent", seen="good", **WHO)
    with pytest.raises(ChangedError, match="now has the label dent"):
        correct_label(workspace, "cap", "test/good/1.png", "crack", seen="good", **WHO)


def test_rewriting_keeps_what_yaml_says_of_it():
    text = "a: yes\nb: 010\nc: 1.0e-3\nd: >-\n  long\n  text\ne: [1,   2]\nf: &x {g: ~}\nh: *x\n"

    def change(content):
        content["new"] = 1

    after = edit_yaml(text, change)
    assert yaml.safe_load(after) == yaml.safe_load(text) | {"new": 1}
    assert "b: 010" in after and "c: 1.0e-3" in after
