"""An audit holds what happened in its period, and nothing of another; the same facts, one file."""

import hashlib
import json
import zipfile
from datetime import date

import pytest

from tasks.audit import SUMS, audit
from tasks.documents.manifest import About
from tasks.documents.metrics import GateMetrics
from tasks.documents.prediction import Prediction
from tasks.monitoring.log import PredictionLog
from tasks.store.champion import promote, record, rollback
from tasks.store.opening import store_of
from tasks.store.releases import publish
from tasks.workspace.errors import DataError, WorkspaceError
from tasks.workspace.files import write_json, write_rows
from tasks.workspace.paths import Workspace

ABOUT = About(
    algorithm="padim", metrics=GateMetrics(miss=0.02, overkill=None, intervals={"miss": [0, 0.1]})
)
EVIL = "<script>alert(1)</script>"


def release(workspace, number):
    folder = workspace.root / f"made {number}"
    folder.mkdir()
    write_json(folder / "threshold.json", {"threshold": 2.0 + number, "accept": 2.0})
    write_rows(folder / "calibration.csv", ["score"], [{"score": n / 100} for n in range(100)])
    return publish(folder, "cap", store_of(workspace), ABOUT)


@pytest.fixture
def at(monkeypatch):
    """A function that sets the day on which the store is changed."""

    def day(text):
        for place in ("champion", "release"):
            monkeypatch.setattr(f"tasks.store.{place}.now", lambda: f"{text}T08:00:00.000000+00:00")

    return day


@pytest.fixture
def told(tmp_path, at):
    """A workspace with three releases in March, April and May, and the ids of these."""
    workspace = Workspace(tmp_path / "ws")
    (workspace.root / ".dvc").mkdir(parents=True)
    (workspace.root / "params.yaml").write_text("line: {}")
    workspace.product("cap").mkdir(parents=True)
    (workspace.product("cap") / "product.yaml").write_text("algorithms: [padim]\n")
    entry = f"test/good/1.png: {{label: dent, by: anna, why: '{EVIL}'}}\n"
    workspace.corrections("cap").write_text(entry)
    store, ids = store_of(workspace), []
    for number, month in enumerate(("03", "04", "05")):
        at(f"2026-{month}-10")
        ids.append(release(workspace, number))
        promote(store, "cap", ids[-1], reason=f"model {number}", by="ben")
    at("2026-05-20")
    rollback(store, "cap", reason=EVIL, by="cleo")
    change = {"what": "0.01 to 0.02", "by": "dora", "reason": "too strict"}
    record(store, "cap", "threshold", {"time": "2026-04-12T01:00:00+00:00", **change})
    return workspace, ids


def opened(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_period_has_its_changes_the_champion_before_it_and_nothing_later(told, tmp_path):
    workspace, (march, april, may) = told
    period = date(2026, 4, 1), date(2026, 4, 30)
    files = opened(audit(workspace, "cap", tmp_path / "a.zip", *period))
    page = files["index.html"].decode()
    assert march in page and april in page and may not in page.partition("<h2>")[2]
    assert "model 1" in page and "model 0" not in page and "0.01 to 0.02" in page
    assert "dora" in page and "too strict" in page and "miss 0.02 (0 to 0.1)" in page
    kinds = {json.loads(body)["kind"] for name, body in files.items() if "records/" in name}
    assert kinds == {"promote", "threshold"}
    assert f"releases/cap/{april}/manifest.json" in files and "spec/corrections.yaml" in files
    for href in page.split('href="')[1:]:
        assert href.partition('"')[0] in files


def test_the_whole_history_is_in_order_and_text_of_people_is_no_markup(told, tmp_path):
    workspace, ids = told
    page = opened(audit(workspace, "cap", tmp_path / "a.zip"))["index.html"].decode()
    table = page.partition("<h2>")[2]
    places = [table.index(text) for text in ("model 0", "model 1", "model 2", "cleo")]
    assert places == sorted(places) and all(one in page for one in ids)
    assert "<script" not in page and "&lt;script&gt;" in page and "anna" in page


def test_the_same_facts_give_the_same_file_and_sums_hold(told, tmp_path):
    workspace, _ = told
    first = audit(workspace, "cap", tmp_path / "a.zip")
    again = audit(workspace, "cap", tmp_path / "b" / "b.zip")
    assert first.read_bytes() == again.read_bytes()
    files = opened(first)
    sums = dict(line.split("  ")[::-1] for line in files.pop(SUMS).decode().splitlines())
    assert sums == {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["b.zip"]


def test_logged_predictions_are_counted_by_day_and_compared(told, tmp_path):
    workspace, (_, april, _) = told
    log = PredictionLog(tmp_path / "log", "cap")
    for day, number in (("2026-04-11", 150), ("2026-05-01", 3)):
        for _ in range(number):
            when = f"{day}T10:00:00.000+00:00"
            log.add(Prediction(time=when, release=april, score=1.9, decision="good"))
    period = date(2026, 4, 1), date(2026, 4, 30)
    files = opened(audit(workspace, "cap", tmp_path / "a.zip", *period, tmp_path / "log"))
    page = files["index.html"].decode()
    assert "<td>150</td>" in page and "2026-05-01" not in page
    drifted = {one["name"]: one["drifted"] for one in json.loads(files["drift.json"])[april]}
    assert drifted["score"] and not drifted["rejects"] and "<td>drifted</td>" in page


def test_what_is_damaged_is_told_and_packed_as_it_is(told, tmp_path):
    workspace, (march, *_) = told
    folder = workspace.root / "store"
    [broken] = (folder / "records/cap").glob("20260310*")
    broken.write_bytes(b"{")
    (folder / f"releases/cap/{march}/threshold.json").unlink()
    files = opened(audit(workspace, "cap", tmp_path / "a.zip"))
    assert files[f"records/cap/{broken.name}"] == b"{"
    assert (
        "damaged" in files["index.html"].decode() and "is missing" in files["index.html"].decode()
    )


def test_a_release_whose_manifest_is_damaged_is_packed_too(told, tmp_path):
    workspace, (march, *_) = told
    manifest = workspace.root / "store" / f"releases/cap/{march}/manifest.json"
    manifest.write_bytes(b"{")
    files = opened(audit(workspace, "cap", tmp_path / "a.zip"))
    assert files[f"releases/cap/{march}/manifest.json"] == b"{"
    assert "manifest.json&#39;" in files["index.html"].decode()
    assert "not known" in files["index.html"].decode()


def test_a_period_or_product_that_cannot_be_is_named(told, tmp_path):
    workspace, _ = told
    with pytest.raises(DataError, match=r"--since 2026-05-01 is after --until 2026-04-01"):
        audit(workspace, "cap", tmp_path / "a.zip", date(2026, 5, 1), date(2026, 4, 1))
    with pytest.raises(WorkspaceError, match="no product 'cup'"):
        audit(workspace, "cup", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
