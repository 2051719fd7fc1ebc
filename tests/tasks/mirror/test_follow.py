"""An MLflow server has what the store has, also after it was away; nothing waits for it."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tasks.documents.manifest import About
from tasks.documents.metrics import GateMetrics
from tasks.mirror.follow import address, figures, follow, parameters
from tasks.spec.read import read_params
from tasks.store.champion import promote, rollback
from tasks.store.opening import store_of
from tasks.store.releases import publish
from tasks.workspace.errors import SpecError
from tasks.workspace.files import write_json
from tasks.workspace.paths import Workspace

START = 120.0  # seconds


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def evaluate(workspace, algorithm, auroc):
    figures = {"image_auroc": auroc, "miss": None, "preset": "quick"}
    named = {"product": "cap", "algorithm": algorithm}
    write_json(workspace.evaluation("cap", algorithm) / "metrics.json", named | figures)
    card = {"parameters": {"dims": 100, "layers": ["a", "b"]}, "image": {"size": [64, 64]}}
    write_json(workspace.model("cap", algorithm) / "fit.json", card)


def release_of(workspace, algorithm):
    folder = workspace.root / "made"
    shutil.copytree(workspace.evaluation("cap", algorithm), folder)
    metrics = GateMetrics.read(folder / "metrics.json")
    store = store_of(workspace)
    made = publish(folder, "cap", store, About(algorithm=algorithm, metrics=metrics))
    shutil.rmtree(folder)
    promote(store, "cap", made, reason="test", by="test")
    return made


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "Line 7")
    (made.root / ".dvc").mkdir(parents=True)
    made.product("cap").mkdir(parents=True)
    (made.product("cap") / "product.yaml").write_text("algorithms: [padim, vae]\n")
    return made


def mirrored_to(workspace, uri):
    (workspace.root / "params.yaml").write_text(f"line: {{mlflow: '{uri}'}}")


def left(workspace):
    return sorted(path.name for path in workspace.scratch.glob("mlflow/*/open/*"))


def test_without_a_server_nothing_is_done(workspace, monkeypatch):
    (workspace.root / "params.yaml").write_text("line: {}")
    for value in ("", "sqlite:///mlflow.db", "databricks"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", value)
        assert address(workspace) == "" and follow(workspace, ["cap"]) == ""
    assert not (workspace.scratch / "mlflow").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other:5000")
    assert address(workspace) == "http://other:5000"
    mirrored_to(workspace, "http://ours:5000")
    assert address(workspace) == "http://ours:5000"
    mirrored_to(workspace, "mlruns")
    with pytest.raises(SpecError, match="mlflow"):
        read_params(workspace.root)


def test_a_server_that_is_away_delays_nothing_and_what_it_missed_is_kept(workspace):
    mirrored_to(workspace, f"http://user:hidden@127.0.0.1:{free_port()}")
    evaluate(workspace, "padim", 0.9)
    began = time.monotonic()
    said = follow(workspace, ["cap"])
    assert "does not answer" in said and "makes up for it" in said and "hidden" not in said
    assert time.monotonic() - began < 10 and len(left(workspace)) == 1
    evaluate(workspace, "padim", 0.95)  # the cell that was not told of is gone
    follow(workspace, ["cap"])
    assert len(left(workspace)) == 2


def test_what_answers_but_is_no_mlflow_breaks_nothing(workspace, web):
    mirrored_to(workspace, web.url("").rstrip("/"))
    evaluate(workspace, "padim", 0.9)
    assert follow(workspace, ["cap"]) and len(left(workspace)) == 1


def test_figures_are_numbers_and_parameters_texts():
    metrics = {"version": 1, "miss": None, "cost": 0.5, "test_good": 4, "preset": "quick"}
    assert figures(metrics) == {"cost": 0.5, "test_good": 4.0}
    card = {"parameters": {"dims": 100, "none": None}, "image": {"size": [64, 64]}}
    found = parameters(metrics, card)
    assert found == {"preset": "quick", "dims": "100", "image.size": "[64, 64]"}


@pytest.fixture
def mlflow(tmp_path):
    """A function that starts a real server on its own database, and its address."""
    program = os.environ.get("INSPECTLINE_TEST_MLFLOW") or shutil.which("mlflow")
    if program is None:
        pytest.skip("no mlflow; set INSPECTLINE_TEST_MLFLOW to the program of its environment")
    port = free_port()
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    words = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", database, "--artifacts-destination", str(tmp_path / "files")]
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
    started = []

    def start():
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = os.environ | {"PATH": path}
        process = subprocess.Popen(words, env=environment, start_new_session=True, **quiet)
        started.append(process)
        until = time.monotonic() + START
        while time.monotonic() < until and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        raise RuntimeError("MLflow did not start")

    yield f"http://127.0.0.1:{port}", start
    for process in started:
        os.killpg(process.pid, 15)
        process.wait()


def asked(uri, path, **body):
    answer = httpx.get(f"{uri}/api/2.0/mlflow/{path}", params=body, trust_env=False)
    return answer.raise_for_status().json()


def runs_of(uri):
    found = asked(uri, "experiments/get-by-name", experiment_name="inspectline line-7")
    body = {"experiment_ids": [found["experiment"]["experiment_id"]]}
    answer = httpx.post(f"{uri}/api/2.0/mlflow/runs/search", json=body, trust_env=False).json()
    return answer.get("runs") or []


@pytest.mark.slow
def test_a_real_server_has_what_the_store_has(workspace, mlflow):
    uri, start = mlflow
    mirrored_to(workspace, uri)
    evaluate(workspace, "padim", 0.9)
    first = release_of(workspace, "padim")
    assert "makes up for it" in follow(workspace, ["cap"])  # it has not started
    evaluate(workspace, "padim", 0.95)
    evaluate(workspace, "vae", 0.97)
    second = release_of(workspace, "vae")
    start()
    assert follow(workspace, ["cap"]) == "" and left(workspace) == []
    runs = {run["info"]["run_id"]: run["data"] for run in runs_of(uri)}
    values = sorted(run["metrics"][0]["value"] for run in runs.values())
    assert values == [0.9, 0.95, 0.97]
    given = [{one["key"]: one["value"] for one in run["params"]} for run in runs.values()]
    assert all(one["dims"] == "100" and one["preset"] == "quick" for one in given)

    def champion():
        found = asked(uri, "registered-models/alias", name="line-7.cap", alias="champion")
        version = found["model_version"]
        return {one["key"]: one["value"] for one in version["tags"]}["inspectline.release"], version

    release, version = champion()
    assert release == second and runs[version["run_id"]]["metrics"][0]["value"] == 0.97
    rollback(store_of(workspace), "cap", reason="test", by="test")
    assert follow(workspace, ["cap"]) == "" and champion()[0] == first
    shutil.rmtree(workspace.scratch / "mlflow")  # another clone of the workspace
    assert follow(workspace, ["cap"]) == "" and len(runs_of(uri)) == 3
    versions = asked(uri, "model-versions/search", filter="name='line-7.cap'")["model_versions"]
    assert len(versions) == 2 and champion()[0] == first
