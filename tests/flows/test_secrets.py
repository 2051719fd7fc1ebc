"""A key that is planted wherever we read one comes out nowhere."""

import logging
import sys
import traceback

import pytest
from click.testing import CliRunner
from PIL import Image

from flows.cli import main
from tasks.clones.snapshot import clone_name, remote_url
from tasks.workspace.errors import LineError, StoreError
from tasks.workspace.git import git
from tasks.workspace.paths import Workspace
from tasks.workspace.secrets import guard_output, without_password, without_secrets
from tests.s3_servers import free_port

KEY = "pl4nted/k+ey@9f3a"
IN_URL = "pl4ntedkey9f3a"  # where a slash or an @ would end it
TYPED = "pl4nted-by-hand"  # known from no variable
PLAIN = "pl4nted"
VARIABLES = {
    **dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"), KEY),
    **dict.fromkeys(("INSPECTLINE_TOKEN", "PREFECT_API_KEY"), KEY),
    "PREFECT_API_AUTH_STRING": f"admin:{KEY}",
    "PREFECT_SERVER_API_AUTH_STRING": f"admin:{KEY}",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


@pytest.fixture
def planted(make, tmp_path, monkeypatch):
    """A workspace all of whose remotes are away, in an environment full of keys."""
    port = free_port()
    away = f"http://user:{IN_URL}@127.0.0.1:{port}"
    workspace = make(tmp_path / "ws", "cap")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, away)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    git(workspace.root, "remote", "add", "origin", f"http://git:{IN_URL}@127.0.0.1:{port}/x.git")
    from dvc.repo import Repo

    with Repo(str(workspace.root)) as repo, repo.config.edit() as config:
        config["core"]["remote"] = "far"
        config["remote"]["far"] = {"url": "s3://bucket/dvc", "endpointurl": away, "use_ssl": False}
    images = tmp_path / "more" / "train" / "good"
    images.mkdir(parents=True)
    Image.new("RGB", (64, 64), 7).save(images / "more.png")
    return workspace, away


def store_in(workspace: Workspace, address: str) -> None:
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text() + f"  store: {address}\n")


def test_no_command_tells_a_key(planted, tmp_path, monkeypatch, caplog, capfd):
    from prefect.settings import PREFECT_API_KEY, PREFECT_API_URL, temporary_settings

    workspace, away = planted
    typed = away.replace(IN_URL, TYPED)
    for number in ("tasks.web.listening.serve_app", "flows.fleet.machine.run_worker"):
        monkeypatch.setattr(number, lambda *_: None)
    accepted = ("--accept-licence", "--to", tmp_path / "public")
    words = [
        ["watch", "cap=s3://bucket/x", "--once"],
        ["watch", f"cap=s3://user:{TYPED}@bucket/x", "--once"],
        ["watch", "cap=s3://bucket/x", "--queue", f"{typed}/queue?token={TYPED}", "--once"],
        ["watch", "cap=s3://bucket/x", "--queue", f"ftp://a:{TYPED}@b/queue", "--once"],
        ["ingest", "cap", "s3://bucket/x"],
        ["ingest", "cap", f"s3://user:{TYPED}@bucket/x"],
        ["ingest", "cap", tmp_path / "more"],
        ["new", "nut", "--from", tmp_path / "more"],
        ["new", "bolt", "--from", "s3://bucket/x"],
        ["fetch", "mpdd", "--url", f"{typed}/mpdd.zip?X-Amz-Signature={TYPED}", *accepted],
        ["predict", "s3://bucket/line/cap", tmp_path / "more"],
        ["serve", "s3://bucket/line/cap"],
        ["drift", "s3://bucket/line/cap", "--log", tmp_path / "log"],
        ["run"],
        ["board"],
        ["deploy"],
        ["status"],
        ["worker", tmp_path / "worker"],
        ["report"],
        ["results", "--json"],
    ]
    of_store = [
        ["releases", "cap"],
        ["promote", "cap", "0123456789abcdef"],
        ["rollback", "cap"],
        ["threshold", "cap", "--value", "3", "--reason", "why"],
        ["rename", "cap", "cup"],
        ["report"],
        ["status"],
    ]
    said = []
    caplog.set_level(logging.DEBUG)
    with temporary_settings({PREFECT_API_URL: f"{away}/api", PREFECT_API_KEY: KEY}):
        for count, command in enumerate([*words, *of_store]):
            if count == len(words):
                store_in(workspace, "s3://bucket/line")
            said.append(run(workspace, command))
    told = capfd.readouterr()
    for text in (*said, caplog.text, told.out, told.err):
        assert PLAIN not in text, around(text)
    for path in tmp_path.rglob("*"):
        given = {workspace.root / ".git/config", workspace.root / ".dvc/config"}
        if path.is_file() and path not in given:
            assert PLAIN.encode() not in path.read_bytes(), path
    assert sum("Error" in text for text in said) > 15  # it went wrong as it was meant to


def run(workspace: Workspace, command: list[object]) -> str:
    """All that a command says, its stack trace if it fails otherwise than it should."""
    result = CliRunner().invoke(main, ["-w", str(workspace.root), *map(str, command)])
    text = f"{command[0]}\n{result.output}"
    if result.exception and not isinstance(result.exception, SystemExit):
        text += without_secrets("".join(traceback.format_exception(result.exception)))
    return text


def around(text: str) -> str:
    at = text.find(PLAIN)
    return text[max(0, at - 600) : at + 100]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"https://me:{KEY}@host/line.git", "https://host/line.git"),
        (f"https://{KEY.replace('/', '')}@host/line.git", "https://host/line.git"),
        (f"https://host/line.git?private_token={KEY}", "https://host/line.git"),
        (f"ssh://git:{IN_URL}@host:22/line.git", "ssh://git@host:22/line.git"),
        (f"codecommit::https://me:{IN_URL}@host/line", "codecommit::https://host/line"),
        ("ssh://git@host/line.git", "ssh://git@host/line.git"),
        ("git@host:line.git", "git@host:line.git"),
        ("/srv/line.git", "/srv/line.git"),
        ("https://host:8443/me@here/line.git", "https://host:8443/me@here/line.git"),
        ("https://[::1]:8443/line.git", "https://[::1]:8443/line.git"),
    ],
)
def test_what_a_worker_is_told_of_a_git_remote(make, tmp_path, given, shown):
    """It stands in the parameters of a run on the Prefect server, where everybody reads it."""
    assert without_password(given) == shown
    git(tmp_path, "init", "-q")
    git(tmp_path, "remote", "add", "origin", given)
    assert remote_url(Workspace(tmp_path), "origin") == shown
    assert PLAIN not in clone_name(shown)


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach http://user:{IN_URL}@host:9000/bucket",
        f"Invalid endpoint: https://{IN_URL}@host",
        f"GET https://bucket/x?X-Amz-Credential={IN_URL}&X-Amz-Signature={IN_URL} failed",
        f"headers: {{'Authorization': 'Basic {IN_URL}'}}",
        f"the value {KEY} of a variable",
    ],
)
def test_a_message_holds_no_key(text, monkeypatch, caplog, capsys):
    monkeypatch.setenv("SOME_API_KEY", KEY)
    assert PLAIN not in str(LineError(text)) and PLAIN not in str(StoreError(text))
    before = logging.getLogRecordFactory(), sys.excepthook
    try:
        guard_output()
        try:
            raise ValueError(text)
        except ValueError as error:
            logging.getLogger("other").exception("it failed: %s", error)
            sys.excepthook(ValueError, error, error.__traceback__)
    finally:
        logging.setLogRecordFactory(before[0])
        sys.excepthook = before[1]
    assert "it failed" in caplog.text and PLAIN not in caplog.text
    told = capsys.readouterr().err
    assert "ValueError" in told and PLAIN not in told


def test_what_is_no_secret_stays(monkeypatch):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/etc/credentials")
    monkeypatch.setenv("INSPECTLINE_TOKEN", "padim")  # too short to be told from a word
    text = "padim: s3://bucket/a@b.png?x=1, /etc/credentials, mail to anna@host, 3 @ 5"
    assert without_secrets(text) == text
