"""A DVC remote that is away, or refuses, is one line; what was brought in is there."""

import pytest

from tasks.build.records import push, version
from tasks.build.remote import remote_error
from tasks.workspace.errors import AwayError, LineError, MachineError, StoreError, WorkspaceError
from tests.flows.test_dvc import dvc
from tests.s3_servers import free_port


@pytest.fixture
def away(workspace, monkeypatch):
    """A workspace whose DVC remote is on an S3 server that does not answer."""
    monkeypatch.setattr("asyncio.sleep", at_once)  # between the attempts of its client
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    dvc(workspace, "remote", "add", "-d", "far", "s3://bucket/dvc")
    dvc(workspace, "remote", "modify", "far", "endpointurl", f"http://127.0.0.1:{free_port()}")
    return workspace


async def at_once(seconds, result=None):
    return result


def test_ingest_brings_in_what_it_can_and_says_what_is_left(away, samples, command):
    result = command(away, "ingest", "cap", samples / "cap")
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("Error")]
    assert len(lines) == len(result.output.splitlines()) == 1
    assert "dvc push failed" in lines[0] and "run `dvc push` once it is fixed" in lines[0]
    assert (away.product("cap") / "images.dvc").is_file()
    assert (away.product("cap") / "dvc.yaml").is_file()  # all is there but the copy


def test_watch_says_it_and_goes_on(away, samples):
    from flows.watch import Announced, Watcher, watched_sources

    said = []
    watched = watched_sources(away, [f"cap={samples / 'cap'}"], (0, 0, 0))
    watcher = Watcher(away, watched, lambda _: Announced(0), said.append)
    for _ in range(3):
        watcher.step()
    assert said[0].startswith("cap: dvc push failed")
    assert said[1:] == ["run of cap", "run of cap ended"]  # the images are here: it can be run


class Odd(Exception):
    """Of the client of some remote."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Odd("no\n  such host"), AwayError),
        (Odd(), AwayError),
        (TimeoutError("slow"), AwayError),
        (PermissionError(13, "no"), StoreError),
        (OSError(28, "full"), MachineError),
        (LineError("known"), LineError),
    ],
)
def test_whatever_a_client_raises_is_one_line(error, kind):
    told = remote_error(error, "push")
    assert type(told) is kind and "\n" not in str(told) and len(str(told)) < 700


def test_a_push_that_fails_in_any_way_is_an_error_of_ours(workspace, monkeypatch):
    dvc(workspace, "remote", "add", "-d", "far", str(workspace.root.parent / "far"))

    def fails(*_, **__):
        raise Odd("no such host")

    monkeypatch.setattr("dvc.repo.Repo.push", fails)
    with pytest.raises(AwayError, match="no such host; run `dvc push`"):
        push(workspace, [])


def test_an_ignored_folder_is_told_with_its_remedy(workspace):
    (workspace.root / ".gitignore").write_text("data/\n")
    folder = workspace.images("cap")
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    with pytest.raises(WorkspaceError, match=r"dvc add data/cap/images.*out of \.gitignore"):
        version(workspace, folder)
