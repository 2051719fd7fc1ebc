"""Runs that were killed do not run for ever."""

from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from flows.line import line
from flows.prefect_server.abandoned import end_abandoned, of_this_machine
from flows.prefect_server.own import own


def test_only_runs_of_this_workspace_on_this_machine_are_ended(
    prefect, tmp_path: Path, monkeypatch
):
    mine, other = tmp_path / "mine", tmp_path / "other"
    with of_this_machine() as found:
        here = set(found)
    monkeypatch.setattr(own, "url", "")  # it is one that stays
    with temporary_settings({PREFECT_API_URL: prefect}), get_client(sync_client=True) as client:
        killed, alive, elsewhere = (
            client.create_flow_run(
                line,
                parameters={"workspace": str(workspace), "products": [], "stages": []},
                tags=machine,
                state=Running(),
            ).id
            for workspace, machine in ((mine, here), (other, here), (mine, {"another"}))
        )
        assert end_abandoned(mine) == 1 and end_abandoned(mine) == 0
        state = client.read_flow_run(killed).state
        assert state.is_crashed() and "killed" in state.message
        assert all(client.read_flow_run(one).state.is_running() for one in (elsewhere, alive))


def test_without_a_server_that_stays_nothing_is_asked(tmp_path: Path):
    assert end_abandoned(tmp_path) == 0
