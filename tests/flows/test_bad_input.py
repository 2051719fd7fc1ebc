"""Bad settings, names, weights and files, given to a workspace: a clear text and nothing lost."""

import json
import shutil

import pytest
import torch

from flows.run import run_line
from flows.running.plan import make_plan
from tasks.spec.read import kept_spec
from tasks.workspace.lock import RUN, run_lock
from tests.flows.conftest import edit, refused, write_params


@pytest.mark.parametrize(
    ("typo", "words"),
    [
        ({"gats": {}}, ["product.yaml", "unknown key 'gats'", "did you mean 'gates'?"]),
        ({"image": {"sise": 64}}, ["image.sise", "did you mean 'size'?"]),
        ({"image": {"size": "big"}}, ["image.size", "'big'"]),
        ({"algorithms": ["padin"]}, ["unknown algorithm 'padin'", "did you mean 'padim'?"]),
        ({"algorithms": {"padim": {"dim": 3}}}, ["no parameter 'dim'", "did you mean 'dims'?"]),
        ({"gates": {"miss": 3}}, ["gates.miss", "3"]),
    ],
    ids=str,
)
def test_a_typo_in_a_spec_names_file_and_key(copy, command, typo, words):
    edit(copy, "cap", **typo)
    refused(command(copy, "run", "-p", "cap"), *words)
    refused(command(copy, "sync"), *words)
    results = command(copy, "results")
    assert results.exit_code == 0
    assert "warning: " in results.stderr and words[-1] in results.stderr


def test_a_typo_in_one_spec_stops_no_other_product(copy, command):
    edit(copy, "cap", gats={})
    edit(copy, "plate", threshold={"policy": "max_overkill", "overkill": 0.2})
    other = command(copy, "run", "-p", "plate")
    assert other.exit_code == 0, other.output
    assert "warning: " in other.stderr and "did you mean 'gates'?" in other.stderr
    edit(copy, "plate", threshold={"policy": "max_overkill", "overkill": 0.3})
    copy.product("c a p").mkdir()
    (copy.product("c a p") / "product.yaml").touch()
    every = command(copy, "run")
    refused(every, "failed: cap: ", "did you mean 'gates'?", "plate: ")
    assert every.output.count("gates'?") == 1
    refused(every, "failed: 'c a p': ", "rename it, for example to 'c-a-p'")
    shutil.rmtree(copy.product("c a p"))
    assert make_plan(copy, ["plate"]).stages == []
    (copy.product("cap") / "product.yaml").write_bytes(kept_spec(copy.root, "cap").read_bytes())
    mended = command(copy, "run")
    assert mended.exit_code == 0 and "warning" not in mended.stderr, mended.output
    assert "nothing to train" in mended.output


def test_a_typo_in_params_names_file_and_key(copy, command):
    write_params(copy.root, line={"stroe": "x"})
    refused(command(copy, "run"), "params.yaml", "line.stroe", "did you mean 'store'?")
    (copy.root / "params.yaml").write_text("defaults: [\n")
    refused(command(copy, "run"), "params.yaml", "no valid YAML")


def test_unknown_names_come_with_the_known_ones(copy, command):
    refused(command(copy, "run", "-a", "padin"), "'padin'", "did you mean 'padim'?")
    refused(command(copy, "run", "-a", "stfpm"), "known: ")
    for call in (["run", "-p", "cpa"], ["releases", "cpa"]):
        refused(command(copy, *call), "'cpa'", "did you mean 'cap'?")
    refused(command(copy, "predict", "cpa", copy.images("cap")), "'cpa'", "did you mean 'cap'?")
    refused(command(copy, "serve", "../cap"), "'../cap'", "did you mean 'cap'?")
    refused(command(copy, "promote", "cap", "0" * 16), "0" * 16)
    refused(command(copy, "rollback", "cap"), "no earlier champion")
    refused(command(copy, "rnu"), "rnu")


def test_predict_refuses_what_is_no_image(copy, command, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    for name in ("text.png", "empty", "nowhere.png"):
        refused(command(copy, "predict", "cap", tmp_path / name), name)
    refused(command(copy, "predict", copy.images("cap"), copy.images("cap")), "images")
    good = next(copy.images("cap").glob("test/good/*.png"))
    among = command(copy, "predict", "cap", tmp_path / "text.png", good)
    refused(among, "text.png: not an image", f") {good}")
    lines = command(copy, "predict", "cap", tmp_path / "text.png", good, "--json").stdout
    assert ["error" in json.loads(line) for line in lines.splitlines()] == [True, False]


def test_weights_that_are_missing_or_of_another_network_fail_their_cells_only(
    copy, command, prefect, tmp_path
):
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    weights = {"padim": str(tmp_path / "none.pth"), "patchcore": str(tmp_path / "other.pth")}
    edit(copy, "plate", algorithms={n: {"weights": w} for n, w in weights.items()})
    held = {p: p.read_bytes() for p in copy.root.glob("data/plate/cells/*/model/*")}
    result = command(copy, "run")
    refused(result, "failed: fit plate padim: ", "no weights file at", "none.pth")
    refused(result, "failed: fit plate patchcore: ", "is of another network", "other.pth")
    assert "failed: evaluate" not in result.output and "cap" in result.output
    assert held == {p: p.read_bytes() for p in copy.root.glob("data/plate/cells/*/model/*")}


def test_one_training_image_or_none_is_named(workspace, source, command, prefect):
    for path in sorted(source.glob("train/good/*"))[1:]:
        path.unlink()
    command(workspace, "ingest", "cap", source)
    refused(command(workspace, "run"), "failed: validate cap", "train")
    for path in workspace.images("cap").glob("train/good/*"):
        path.unlink()
    refused(command(workspace, "run"), "failed: validate cap", "train")


def test_a_second_run_is_told_of_the_first(copy, command):
    with run_lock(copy, what=RUN):
        refused(command(copy, "run"), "is in use: a run since")
    assert command(copy, "run").exit_code == 0


def test_no_product_says_how_to_bring_one(workspace, command):
    refused(command(workspace, "run"), "inspectline ingest PRODUCT SOURCE")


def test_without_git_init_is_named_and_mends_it(copy, command):
    shutil.rmtree(copy.root / ".git")
    refused(command(copy, "run"), "is not a git repository", "inspectline init")
    assert command(copy, "init", copy.root).exit_code == 0
    assert command(copy, "run").exit_code == 0


def test_a_broken_lock_file_of_dvc_is_named(copy, command):
    lock = copy.product("cap") / "dvc.lock"
    lock.write_text("<<<<<<< HEAD\n" + lock.read_text())
    refused(command(copy, "run"), "dvc.lock")


def test_no_prefect_server_is_named(copy, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from tasks.workspace.errors import LineError

    edit(copy, "cap", gates={"image_auroc": 0.1})
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(LineError, match=r"no Prefect server answers at http://127.0.0.1:9/api"),
    ):
        run_line(copy, [], None)
    assert run_line(copy, [], None)
