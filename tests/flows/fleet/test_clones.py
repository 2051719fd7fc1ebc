"""Cells that ran in another clone: git carries the commit, the DVC remote the data."""

import os
import shutil
import subprocess

import pytest
import yaml

from flows.fleet.run_batch import BatchRun
from tasks.build.graph import sync
from tasks.build.records import Cells, Stage
from tasks.clones import claim
from tasks.clones.checkpoints import Checkpoints
from tasks.clones.outputs import (
    DamagedError,
    lock_entry,
    pull_inputs,
    push_inputs,
    push_outputs,
    same_inputs,
    take_over,
)
from tasks.clones.snapshot import check_out, clone_name, push_snapshot, remote_url, remove_refs
from tasks.spec.read import read_yaml
from tasks.workspace.errors import BusyError, MachineError, WorkspaceError
from tasks.workspace.paths import Workspace, link_package
from tests.flows.conftest import edit
from tests.flows.farm import git, share

VALIDATE = Stage("validate", "cap")
CELL = [Stage("fit", "cap", "padim"), Stage("evaluate", "cap", "padim")]


@pytest.fixture
def shared(make, tmp_path):
    """A workspace with a git remote and a DVC remote in folders."""
    return shared_in(make, tmp_path)


def shared_in(make, folder):
    workspace = make(folder / "line", "cap")
    edit(workspace, "cap", algorithms=["padim"])
    share(workspace, folder, str(folder / "far"))
    sync(workspace)
    return workspace


@pytest.fixture(scope="module")
def worked(make, tmp_path_factory):
    """A validated workspace, a clone of it, and what came of the cell there: the entries of its
    dvc.lock. Only to be read."""
    folder = tmp_path_factory.mktemp("worked")
    shared = shared_in(make, folder)
    return shared, *in_clone(shared, folder)


@pytest.fixture
def told(worked, tmp_path):
    """The validated workspace, to be changed, and what came of the cell elsewhere."""
    shared, _, entries = worked
    shutil.copytree(shared.root, tmp_path / "told", symlinks=True)
    return Workspace(tmp_path / "told"), entries


class Quiet:
    """A listener that hears nothing."""

    def report(self, *_, **__): ...
    def say(self, _): ...
    def should_stop(self):
        return False


def work(workspace, stages):
    """Run stages here and now, and record them; the cells as they are then."""
    from flows.running.plan import refresh_code
    from tasks import evaluate, fit, validate

    cells = Cells(workspace)
    refresh_code(cells)
    steps = {"validate": validate.validate, "fit": fit.fit, "evaluate": evaluate.evaluate}
    for stage in stages:
        before = cells.inputs(stage)
        steps[stage.step](workspace, *filter(None, (stage.product, stage.algorithm)), Quiet())
        assert not cells.commit([(stage, before)])
    return cells


def in_clone(shared, tmp_path, name="first"):
    """What came of the cell in a clone: the clone, and its entries of dvc.lock."""
    push_inputs(work(shared, [VALIDATE]), CELL)
    commit = push_snapshot(shared, "origin", name)
    clone = check_out(tmp_path / "clones", remote_url(shared, "origin"), name, commit)
    link_package(clone)
    pull_inputs(Cells(clone), CELL)
    cells = work(clone, CELL)
    push_outputs(cells, CELL)
    return clone, {stage: lock_entry(cells, stage) for stage in CELL}


def test_a_cell_of_another_clone_is_taken_over_and_dvc_has_nothing_to_do(told, worked):
    workspace, entries = told
    _, clone, _ = worked
    assert take_over(Cells(workspace), entries) == []
    cells = Cells(workspace)
    assert not cells.stale([VALIDATE, *CELL])
    one, other = (w.model("cap", "padim") / "model.safetensors" for w in (workspace, clone))
    assert one.read_bytes() == other.read_bytes()
    asked = ["dvc", "status", "data/cap/dvc.yaml"]
    status = subprocess.run(asked, cwd=workspace.root, capture_output=True, text=True, check=True)
    assert "up to date" in status.stdout
    commits = git(workspace.root, "log", "--all", "--oneline").splitlines()
    assert len(commits) == 1 and commits[0].endswith("A workspace of inspectline")  # that of `init`
    remove_refs(workspace, "origin", ["first"])
    remote = git(workspace.root, "remote", "get-url", "origin")
    assert "inspectline" not in git(remote, "for-each-ref")


def test_an_entry_of_other_inputs_is_not_taken_over(told):
    workspace, entries = told
    edit(workspace, "cap", training={"folds": 3})
    sync(workspace)
    assert take_over(Cells(workspace), entries) == CELL
    assert Cells(workspace).stale([VALIDATE, *CELL]) == CELL


def test_what_was_made_before_is_known_by_its_inputs(told):
    workspace, entries = told
    cells = Cells(workspace)
    fit, evaluate = CELL
    assert same_inputs(cells, fit, entries[fit])
    assert not same_inputs(cells, evaluate, entries[evaluate])  # the model is not here
    assert cells.stale(CELL) == CELL  # asking changes nothing
    assert take_over(cells, {fit: entries[fit]}) == []
    assert same_inputs(cells, evaluate, entries[evaluate])
    other = entries[fit] | {"deps": [entries[fit]["deps"][0] | {"md5": "0" * 32}]}
    assert not same_inputs(cells, fit, other) and not cells.stale([fit])


def test_a_damaged_object_is_noticed_removed_and_sent_anew(shared, tmp_path):
    push_inputs(work(shared, [VALIDATE]), CELL)
    commit = push_snapshot(shared, "origin", "one")
    [one, *_] = sorted((tmp_path / "far" / "files" / "md5").rglob("*.dir"))
    hurt = next(p for p in (tmp_path / "far").rglob("*") if p.is_file() and p.suffix != ".dir")
    good = hurt.read_bytes()
    hurt.chmod(0o644)
    hurt.write_bytes(good[:-1] + b"?")
    clone = check_out(tmp_path / "clones", remote_url(shared, "origin"), "one", commit)
    with pytest.raises(DamagedError, match=hurt.name):
        pull_inputs(Cells(clone), CELL)
    assert not hurt.exists() and one.exists()
    push_inputs(Cells(shared), CELL)
    assert hurt.read_bytes() == good
    pull_inputs(Cells(clone), CELL)
    assert len(list(clone.images("cap").glob("train/good/*"))) == 12


def test_a_clone_is_brought_to_the_commit_whatever_lies_in_it(shared, tmp_path):
    url = remote_url(shared, "origin")
    clone = check_out(tmp_path / "clones", url, "one", push_snapshot(shared, "origin", "one"))
    (clone.root / "dvc.lock").write_text("half")
    (clone.root / "params.yaml").unlink()
    edit(shared, "cap", image={"size": 32})
    second = push_snapshot(shared, "origin", "two")
    again = check_out(tmp_path / "clones", url, "two", second)
    assert again == clone and again.root.name == clone_name(url)
    assert "size: 32" in (clone.product("cap") / "product.yaml").read_text()
    assert (clone.root / "params.yaml").exists()
    assert git(clone.root, "status", "--porcelain") == ""


def test_without_a_git_remote_the_remedy_is_told_and_no_password_travels(shared, workspace):
    with pytest.raises(WorkspaceError, match="git remote add origin URL"):
        remote_url(workspace, "origin")
    git(shared.root, "remote", "set-url", "origin", "https://me:secret@host/line.git")
    assert remote_url(shared, "origin") == "https://host/line.git"


def test_a_checkpoint_goes_from_one_clone_to_another(shared, tmp_path):
    fit = CELL[0]
    url, commit = remote_url(shared, "origin"), push_snapshot(shared, "origin", "one")
    clones = [check_out(tmp_path / name, url, "one", commit) for name in ("a", "b")]
    one, other = (Checkpoints(Cells(clone), "line") for clone in clones)
    mine = clones[0].checkpoint("cap", "padim").with_suffix(".0123.ckpt")
    mine.parent.mkdir(parents=True)
    assert not one.send(fit) and other.fetch(fit) == []
    mine.write_bytes(b"epoch 1")
    assert one.send(fit) and not one.send(fit)
    mine.write_bytes(b"epoch 2")
    assert one.send(fit)
    assert other.fetch(fit) == [mine.name] and not other.send(fit)
    assert (clones[1].checkpoint("cap", "padim").parent / mine.name).read_bytes() == b"epoch 2"
    other.forget(fit)
    assert other.fetch(fit) == []


def test_one_of_two_clones_holds_a_product(shared, monkeypatch, tmp_path):
    said = []
    other = Workspace(tmp_path / "other")
    git(tmp_path, "clone", "--quiet", str(tmp_path / "line.git"), "other")
    monkeypatch.setattr(claim, "BEAT", 1.0)
    monkeypatch.setattr(claim, "LOOK", 0.2)
    with claim.claim_products(shared, "origin", ["cap", "plate"], said.append):
        with claim.claim_products(other, "origin", ["weave"], said.append):
            assert said == []  # other products are free
        holder = f"plate is held by .* process {os.getpid()}"
        with (
            pytest.raises(BusyError, match=holder),
            claim.claim_products(other, "origin", ["plate"], said.append),
        ):
            raise AssertionError
    with claim.claim_products(other, "origin", ["plate"], said.append):
        assert len(said) == 1
    assert "claims" not in git(tmp_path / "line.git", "for-each-ref")


def test_the_claim_of_a_run_that_died_lapses(shared, monkeypatch):
    monkeypatch.setattr(claim, "SILENCE", 1.0)
    monkeypatch.setattr(claim, "LOOK", 0.2)
    dead = claim.Claim(shared, "origin", ["cap"])
    dead.take(print)
    said = []
    with claim.claim_products(shared, "origin", ["cap"], said.append):
        assert "watching it for 1 s" in said[0]
        with pytest.raises(BusyError, match="just claimed"):
            dead.keep_up()


def test_a_worker_with_other_code_refuses_the_batch(told):
    workspace, _ = told

    def check():
        BatchRun(workspace, "first", CELL, None)._check_code()

    check()
    lock, graph = (read_yaml(workspace.root / f"dvc.{end}") for end in ("lock", "yaml"))
    for out in lock["stages"]["code"]["outs"]:
        out["md5"] = out["md5"] if out["path"].endswith("validate.json") else "0" * 32
    (workspace.root / "dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(MachineError, match=r"is not the coordinator's \(padim differs\)"):
        check()
    graph["stages"]["code-padim"] = graph["stages"].pop("code")  # as in older versions
    (workspace.root / "dvc.yaml").write_text(yaml.safe_dump(graph))
    with pytest.raises(MachineError, match="install the same version on both"):
        check()
