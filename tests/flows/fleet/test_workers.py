"""Cells on a worker in another clone, through a real server, and home again."""

import json

import pytest

from tasks.store.champion import champion
from tasks.store.opening import store_of
from tests.flows.conftest import edit, write_params
from tests.flows.farm import Farm, git, share, until


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_worker_in_another_clone_trains_what_is_stale_and_dvc_has_nothing_to_do(
    make, tmp_path, server
):
    workspace = make(tmp_path / "line", "cap")
    share(workspace, tmp_path, str(tmp_path / "far"))
    pool = {"name": "night shift"}
    write_params(workspace.root, line={"device": "cpu", "workers": {"pool": pool}})
    farm = Farm(tmp_path, workspace, server, pool["name"])
    until(farm.answers, "no server")
    farm.call("deploy")
    farm.start("gpu1")
    try:
        until(farm.online, "no worker")
        told = json.loads(farm.call("status", "--json"))
        assert [w["name"] for w in told["workers"]] == ["gpu1"]
        told = farm.call("run")
    finally:
        farm.end()
    assert "cap: " in told and "is champion" in told, told
    assert champion(store_of(workspace), "cap")
    clone = farm.clone("gpu1")
    for name in ("padim", "patchcore"):
        one, other = (w.model("cap", name) / "model.safetensors" for w in (workspace, clone))
        assert one.read_bytes() == other.read_bytes()
    farm.clean()
    assert "inspectline" not in git(tmp_path / "line.git", "for-each-ref")
    edit(workspace, "cap", gates={"image_auroc": 0.1})
    assert "nothing to train" in farm.call("run")
