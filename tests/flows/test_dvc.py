"""DVC and the line agree: what one has done the other has not to do."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from flows.run import run_line
from flows.running.plan import make_plan
from tasks.promotion.decision import last_decision
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tests.flows.conftest import PARAMS, edit, write_params

SMALL = PARAMS["algorithms"]["padim"]


def dvc(workspace, *arguments):
    """Output of a DVC command, as a user gives it."""
    ended = subprocess.run(
        ["dvc", *arguments],
        cwd=workspace.root,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_after_a_run_dvc_has_nothing_to_do(copy):
    assert "up to date" in dvc(copy, "status")
    said = dvc(copy, "repro")
    assert "Running stage" not in said and "up to date" in said


def test_a_run_pushes_what_it_made(copy, tmp_path, capsys):
    remote = tmp_path / "remote"
    remote.mkdir()
    dvc(copy, "remote", "add", "-d", "shelf", str(remote))
    write_params(copy.root, algorithms__padim={**SMALL, "dims": 10})
    edit(copy, "plate", algorithms=["padim"])
    assert run_line(copy, ["plate"], None)
    model = copy.product("plate") / "dvc.yaml"
    assert "in sync" in dvc(copy, "status", "-c", f"{model}:fit-padim")
    dvc(copy, "remote", "modify", "shelf", "url", "/proc/nowhere")
    (copy.model("plate", "padim") / "model.safetensors").unlink()
    assert not run_line(copy, ["plate"], None)
    assert "failed: push: dvc push failed" in capsys.readouterr().err


def git(workspace, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *who, *arguments], cwd=workspace.root, check=True)


def test_what_dvc_made_stays_ignored_by_git(copy, command):
    for value in (14, 15):
        git(copy, "add", "--all")
        git(copy, "commit", "-qm", "all")
        command(copy, "threshold", "cap", "--value", value, "--reason", "x")
        done = command(copy, "run", "-p", "cap")
        assert done.exit_code == 0 and "failed:" not in done.output, done.output
        assert not subprocess.run(
            ["git", "ls-files", "--others", "--exclude-standard", "data/cap/cells"],
            cwd=copy.root,
            check=True,
            capture_output=True,
        ).stdout


def test_metrics_plots_and_params_are_where_dvc_looks(copy):
    shown = json.loads(dvc(copy, "metrics", "show", "--json"))
    files = shown[""]["data"]
    assert "data/plate/cells/padim/evaluation/metrics.json" in files
    git(copy, "add", "--all")
    git(copy, "commit", "-qm", "all")
    write_params(copy.root, algorithms__padim={"backbone": "drawnet", "dims": 10})
    changed = json.loads(dvc(copy, "params", "diff", "--json"))
    assert changed["params.yaml"]["algorithms.padim.dims"] == {"old": 20, "new": 10, "diff": -10}
    page = dvc(copy, "plots", "show").strip().splitlines()[-1].removeprefix("file://")
    text = Path(page).read_text()
    assert "ROC of images" in text and "Decisions" in text


@pytest.mark.slow
def test_an_experiment_of_dvc_is_shown_and_taken_over(copy):
    git(copy, "add", "--all")
    git(copy, "commit", "-qm", "all")
    stage = "data/plate/dvc.yaml:evaluate-padim"
    dvc(copy, "exp", "run", "-n", "few", "-S", "algorithms.padim.dims=5", "recipes", stage)
    git(copy, "checkout", "-q", ".")
    shown = json.loads(dvc(copy, "exp", "show", "--json"))
    [few] = [one for one in shown[1]["experiments"] if one["name"] == "few"]
    assert (
        few["revs"][0]["data"]["params"]["params.yaml"]["data"]["algorithms"]["padim"]["dims"] == 5
    )
    dvc(copy, "exp", "apply", "few")
    assert (
        yaml.safe_load((copy.root / "params.yaml").read_text())["algorithms"]["padim"]["dims"] == 5
    )
    assert "fit plate padim" not in map(str, make_plan(copy, ["plate"], None).stages)


def test_images_pictures_and_models_are_not_in_git(copy):
    subprocess.run(["git", "add", "--all"], cwd=copy.root, check=True)
    listed = subprocess.run(
        ["git", "ls-files"], cwd=copy.root, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not [name for name in listed if name.endswith((".png", ".jpg", ".zip", ".safetensors"))]
    assert not [name for name in listed if name.startswith((".inspectline", "store", "report"))]
    assert {"params.yaml", "dvc.yaml", "dvc.lock", "data/cap/dvc.lock"} <= set(listed)


def test_dvc_repro_first_and_the_line_decides_without_training(make, prefect, tmp_path):
    workspace = make(tmp_path / "ws", "cap")
    path = workspace.product("cap") / "product.yaml"
    path.write_text(yaml.safe_dump({"algorithms": ["padim"]}))
    make_plan(workspace, ["cap"])  # dvc.yaml from the spec, as `inspectline sync` writes it
    assert "Running stage 'data/cap/dvc.yaml:fit-padim'" in dvc(workspace, "repro")
    model = workspace.model("cap", "padim") / "model.safetensors"
    fitted = model.stat().st_mtime_ns
    assert not make_plan(workspace, ["cap"]).stages
    assert run_line(workspace, [], None)
    assert model.stat().st_mtime_ns == fitted
    assert last_decision(workspace, "cap").accepted
    assert champion(store_of(workspace), "cap").algorithm == "padim"
