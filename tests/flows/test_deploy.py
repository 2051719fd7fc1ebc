"""A workspace on a Prefect server: registered once however often, run by workers, looked at."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from flows.prefect_server.names import DRIFTED
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.errors import BusyError, CellError, SpecError
from tests.flows.conftest import edit, refused, write_params
from tests.flows.farm import started, until


def crons(name):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        known = client.read_deployment_by_name(f"inspectline-run/{name}")
        return {one.slug: (one.schedule.cron, one.parameters) for one in known.schedules}, known


def automations(prefix):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_automations()
        return {one.name: one for one in found if one.name.startswith(prefix)}


def test_deploying_again_changes_only_what_differs(make, tmp_path, prefect):
    from flows.deploy import deploy_workspace

    workspace = make(tmp_path / "Line 7", "cap", "plate")
    edit(workspace, "cap", schedule="0 3 * * 1")
    first = deploy_workspace(workspace)
    assert "made automation inspectline line-7 cap" in first
    found, known = crons("line-7")
    again = {"products": ["cap"], "reason": "schedule of cap"}
    assert found == {"cap": ("0 3 * * 1", again)}
    assert known.parameters == {"workspace": str(workspace.root)}
    assert known.global_concurrency_limit.limit == 1 and known.work_pool_name == "inspectline"
    ids = {name: one.id for name, one in automations("inspectline line-7 ").items()}
    assert len(ids) == 2
    second = deploy_workspace(workspace)
    assert second[0] == "kept work pool inspectline"
    assert sum(text.startswith("kept automation") for text in second) == 2
    assert {name: one.id for name, one in automations("inspectline line-7 ").items()} == ids
    assert crons("line-7")[1].id == known.id

    edit(workspace, "cap", schedule="30 4 * * *")
    (workspace.product("plate") / "product.yaml").unlink()
    assert "gone automation inspectline line-7 plate" in deploy_workspace(workspace)
    assert crons("line-7")[0] == {"cap": ("30 4 * * *", again)}
    edit(workspace, "cap", schedule=None)
    deploy_workspace(workspace)
    assert crons("line-7")[0] == {}
    edit(workspace, "cap", schedule="at night")
    with pytest.raises(
        SpecError, match=r"cap/product.yaml: schedule: 'at night' is not a cron expression"
    ):
        deploy_workspace(workspace)


def test_what_is_announced_becomes_a_run_with_its_reason(make, tmp_path, prefect):
    from flows.deploy import deploy_workspace
    from flows.prefect_server.events import announce

    workspace = make(tmp_path / "Line 8", "cap", "plate")
    deploy_workspace(workspace)
    announce(workspace, {"plate": "plate: score drifted"}, DRIFTED)
    announce(workspace, {"cap": "cap: drift, 2 new images"})
    until(lambda: parameters("line-8"), "no run", 60)
    assert parameters("line-8") == [
        {
            "workspace": str(workspace.root),
            "products": ["cap"],
            "reason": "cap: drift, 2 new images",
        }
    ]


def test_a_pool_that_is_not_there_has_no_workers(prefect):
    from prefect.client.orchestration import get_client

    from flows.status import _workers

    with get_client(sync_client=True) as client:
        assert _workers(client, "nowhere") == []


def parameters(name):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName

    chosen = DeploymentFilter(name=DeploymentFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        return [one.parameters for one in client.read_flow_runs(deployment_filter=chosen)]


def test_without_a_server_the_remedy_is_told(workspace, command, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name in ("deploy", "status"):
        refused(command(workspace, name), "prefect server start", "PREFECT_API_URL")


def test_a_scheduled_run_waits_for_its_workspace_and_fails_where_something_failed(
    monkeypatch, tmp_path, capsys
):
    from flows import scheduled

    outcomes = [BusyError("in use"), True, False]
    asked = []

    def run_line(workspace, products, algorithms):
        asked.append((workspace.root, products))
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(scheduled, "run_line", run_line)
    monkeypatch.setattr(scheduled, "LOOK", 0.0)
    scheduled.scheduled.fn(str(tmp_path), ["cap"])
    assert asked == [(tmp_path, ["cap"])] * 2 and "in use" in capsys.readouterr().out
    with pytest.raises(CellError):
        scheduled.scheduled.fn(str(tmp_path))
    assert asked[-1] == (tmp_path, [])


def call(workspace, environment, *words):
    command = [sys.executable, "-m", "flows.cli", "-w", str(workspace.root), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_the_watcher_announces_is_run_by_a_worker_and_ends_in_a_champion(
    make, samples, tmp_path, server
):
    workspace = make(tmp_path / "line", "cap")
    edit(workspace, "cap", algorithms=["padim"])
    (tmp_path / "drop").mkdir()
    image = Image.open(next((samples / "cap" / "train" / "good").glob("*.png")))
    image.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "drop" / "new.png")
    until(lambda: call(workspace, server, "deploy").returncode == 0, "no server")
    with started(["prefect", "worker", "start", "--pool", "inspectline"], server, tmp_path):
        until(lambda: told(workspace, server)["workers"], "no worker")
        options = ["--once", "--settle", "0", "--gather", "0", "--announce"]
        watched = call(workspace, server, "watch", f"cap={tmp_path / 'drop'}", *options)
        assert watched.returncode == 0 and "1 new images" in watched.stderr, watched.stderr
        store = store_of(workspace)
        until(lambda: champion(store, "cap"), "no champion")
        until(lambda: not told(workspace, server)["runs"], "the run does not end")
    [product] = told(workspace, server)["products"]
    assert product["champion"] == "padim" and product["last_gate"] == "promoted"
    assert len(list(workspace.images("cap").glob("train/good/*"))) == 13


def told(workspace, environment):
    result = call(workspace, environment, "status", "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_server_that_lets_everybody_in_is_warned_of(monkeypatch):
    """Only one that is elsewhere, and that answers without a password."""
    from fastapi import FastAPI, HTTPException, Request

    from flows.prefect_server import start
    from tests.tasks.web.listeners import served

    app = FastAPI()

    @app.post("/{door}/api/work_pools/filter")
    async def pools(door: str, request: Request) -> list[str]:
        if door == "closed" and "authorization" not in request.headers:
            raise HTTPException(401)
        return []

    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:a-long-password")
    with served(app) as url:
        assert start.open_to_all(f"{url}/open/api") == ""  # on this machine alone
        monkeypatch.setattr(start, "on_this_machine", lambda url: False)
        told = start.open_to_all(f"{url.replace('//', '//user:hidden@')}/open/api")
        assert "can run commands on its workers" in told and "hidden" not in told
        assert start.open_to_all(f"{url}/closed/api") == ""
        assert start.open_to_all(f"{url}/nothing/here") == ""
    assert start.open_to_all("http://127.0.0.1:9/api") == ""


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:4200/api", True),
        ("http://localhost:4200/api", True),
        ("http://[::1]:4200/api", True),
        ("http://127.9.9.9/api", True),
        ("http://10.0.0.3:4200/api", False),
        ("https://line.example/api", False),
        ("http://localhost.example/api", False),
        ("http://0.0.0.0:4200/api", False),
    ],
)
def test_which_servers_are_on_this_machine_alone(url, here):
    from flows.prefect_server.start import on_this_machine

    assert on_this_machine(url) is here


@pytest.mark.parametrize("words", [["deploy"], ["worker", "here"]])
def test_deploy_and_worker_warn(workspace, command, monkeypatch, words):
    monkeypatch.setattr("flows.prefect_server.start.require_server", lambda: None)
    monkeypatch.setattr("flows.prefect_server.start.server_url", lambda: "http://far/api")
    monkeypatch.setattr("flows.prefect_server.start.open_to_all", lambda url: f"warning: {url}")
    monkeypatch.setattr("flows.deploy.deploy_workspace", lambda _: [])
    monkeypatch.setattr("flows.fleet.machine.run_worker", lambda *_: None)
    assert "warning: http://far/api" in command(workspace, *words).output


@pytest.mark.parametrize("type", ["process", "kubernetes"])
def test_batches_go_to_the_pool_that_params_name(make, tmp_path, prefect, type):
    from prefect.client.orchestration import get_client

    from flows.deploy import deploy_workspace

    name = f"gpu-nodes-{type}"
    job = {"image": "registry/worker:1"} if type == "kubernetes" else {}
    workspace = make(tmp_path / f"Pool {type}", "cap")
    workers = {"pool": {"name": name, "type": type, "job": job}}
    write_params(workspace.root, line={"workers": workers})
    assert f"made work pool {name}" in deploy_workspace(workspace)
    assert f"kept work pool {name}" in deploy_workspace(workspace)
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool(name)
        known = client.read_deployment_by_name(f"inspectline-cells/pool-{type}")
    assert pool.type == type and known.work_pool_name == name
    assert known.job_variables == job
    if type == "kubernetes":  # as docs/deploy/kubernetes/workers.yaml names them
        template = pool.base_job_template
        assert {"image", "namespace", "service_account_name"} <= {
            *template["variables"]["properties"]
        }
        assert "'args': '{{ command }}'" in str(template)  # so an ENTRYPOINT would be in its way
    assert ("image" in str(pool.base_job_template)) == (type == "kubernetes")
    write_params(workspace.root, line={"workers": {"pool": {"name": name, "type": "docker"}}})
    with pytest.raises(SpecError, match=f"{name} is of type {type} on the server, not docker"):
        deploy_workspace(workspace)


def test_a_type_of_pool_that_nobody_knows_is_named(make, tmp_path, prefect):
    from flows.deploy import deploy_workspace

    workspace = make(tmp_path / "Odd", "cap")
    workers = {"pool": {"name": "odd", "type": "abacus"}}
    write_params(workspace.root, line={"workers": workers})
    with pytest.raises(SpecError, match=r"knows 'abacus'.*prefect work-pool create odd"):
        deploy_workspace(workspace)
