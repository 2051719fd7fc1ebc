"""A label that a person confirmed stays and is not doubted; what was said can be taken back."""

import json

import pytest

from tasks.products.correct import correct_label, keep_label, withdraw_label
from tasks.spec.corrections import read_corrections
from tasks.store.opening import store_of
from tasks.workspace.errors import ChangedError, DataError
from tasks.workspace.paths import Workspace

WHO = {"by": "anna", "reason": "looked at it"}
CRACK, GOOD = "test/crack/1.png", "test/good/1.png"


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "params.yaml").write_text("defaults: {}\n")
    made = Workspace(tmp_path)
    for name in (CRACK, GOOD):
        path = made.images("cap") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (made.product("cap") / "product.yaml").write_text("{}\n")
    return made


def said(workspace):
    return {one.path: one.entry.label for one in read_corrections(workspace.corrections("cap"))}


def test_a_kept_label_is_written_with_who_and_why(workspace):
    told = keep_label(workspace, "cap", CRACK, **WHO, seen="crack")
    [one] = read_corrections(workspace.corrections("cap"))
    assert (one.path, one.entry.label, one.entry.by) == (CRACK, "crack", "anna")
    record = json.loads(store_of(workspace).get(told["record"]))
    assert (record["kind"], record["what"], record["new"]) == ("kept", f"{CRACK}: crack", "crack")


def test_a_new_type_is_kept_as_a_new_one(workspace):
    correct_label(workspace, "cap", GOOD, "cracks", **WHO, new=True)
    keep_label(workspace, "cap", GOOD, **WHO)
    [one] = read_corrections(workspace.corrections("cap"))
    assert one.entry.label == "cracks" and one.entry.new


def test_what_was_said_is_taken_back_and_the_rest_stays(workspace):
    keep_label(workspace, "cap", CRACK, **WHO)
    correct_label(workspace, "cap", GOOD, "drop", **WHO)
    path = workspace.corrections("cap")
    path.write_text(f"# by hand\n{path.read_text()}")
    told = withdraw_label(workspace, "cap", GOOD, **WHO, seen="drop")
    assert (told["old"], told["new"]) == ("drop", "good") and said(workspace) == {CRACK: "crack"}
    assert path.read_text().startswith("# by hand\n")
    withdraw_label(workspace, "cap", CRACK, **WHO)
    assert said(workspace) == {}
    with pytest.raises(DataError, match="nothing was said"):
        withdraw_label(workspace, "cap", CRACK, **WHO)


@pytest.mark.parametrize("change", [keep_label, withdraw_label])
def test_who_saw_another_label_is_told(workspace, change):
    correct_label(workspace, "cap", GOOD, "crack", **WHO)
    before = workspace.corrections("cap").read_bytes()
    with pytest.raises(ChangedError, match="now has the label crack"):
        change(workspace, "cap", GOOD, **WHO, seen="good")
    with pytest.raises(DataError, match="no image"):
        change(workspace, "cap", "../params.yaml", **WHO)
    assert workspace.corrections("cap").read_bytes() == before
