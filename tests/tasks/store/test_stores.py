"""The three stores behave the same, and fail with a remedy."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError

from tasks.store.base import Store
from tasks.store.folder import FolderStore
from tasks.store.opening import open_store, seen_from
from tasks.workspace.errors import ConflictError, StoreError
from tasks.workspace.paths import Workspace
from tests.s3_servers import S3Server, free_port, rclone_server, use_server

RACERS = 8


@pytest.fixture(params=["folder", "moto", "rclone"])
def store(request: pytest.FixtureRequest, store_on: Callable[[str], Store]) -> Store:
    return store_on(request.param)


def test_round_trip(store: Store, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    source = tmp_path / "model.bin"
    source.write_bytes(content)
    assert store.put("releases/p/a/heat map ü.bin", source)
    assert store.put("releases/p/a/empty", b"")
    assert store.put("other", b"x")
    assert store.keys("releases/p/") == {
        "releases/p/a/empty": 0,
        "releases/p/a/heat map ü.bin": 3_000_000,
    }
    assert store.keys("releases/p/a/h") == {"releases/p/a/heat map ü.bin": 3_000_000}
    assert store.keys("nothing/") == {}
    assert list(store.keys("")) == [
        "other",
        "releases/p/a/empty",
        "releases/p/a/heat map ü.bin",
    ]
    assert store.get("releases/p/a/empty") == b""
    store.download("releases/p/a/heat map ü.bin", tmp_path / "deep" / "copy.bin")
    assert (tmp_path / "deep" / "copy.bin").read_bytes() == content
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy.bin"]


def test_missing_object(store: Store, tmp_path: Path) -> None:
    assert store.get("no/such") is None
    assert store.get_with_tag("no/such") is None
    with pytest.raises(StoreError, match="no/such"):
        store.download("no/such", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    store.delete("no/such")


def test_put_never_overwrites(store: Store) -> None:
    assert store.put("a", b"first")
    assert not store.put("a", b"second")
    assert store.get("a") == b"first"
    store.delete("a")
    assert store.get("a") is None
    assert store.put("a", b"third")


def test_put_if_compares(store: Store) -> None:
    with pytest.raises(ConflictError):
        store.put_if("c", b"1", "0" * 64)
    store.put_if("c", b"1", None)
    with pytest.raises(ConflictError):
        store.put_if("c", b"2", None)
    content, tag = store.get_with_tag("c") or (b"", "")
    store.put_if("c", b"2", tag)
    with pytest.raises(ConflictError):
        store.put_if("c", b"3", tag)
    assert (content, store.get("c")) == (b"1", b"2")


@pytest.mark.parametrize("kind", ["folder", "moto"])
def test_one_of_many_racers_wins(kind: str, store_on: Callable[[str], Store]) -> None:
    store = store_on(kind)
    store.put_if("c", b"start", None)
    tag = (store.get_with_tag("c") or (b"", ""))[1]
    won = race(lambda number: store.put_if("c", b"%d" % number, tag))
    assert len(won) == 1
    assert store.get("c") == b"%d" % won[0]


@pytest.mark.parametrize("kind", ["folder", "moto"])
def test_put_is_first_come(kind: str, store_on: Callable[[str], Store]) -> None:
    store = store_on(kind)
    for key in "abcdefgh":
        made: list[int] = []

        def move(number: int, key: str = key, made: list[int] = made) -> None:
            if store.put(key, b"%d" % number):
                made.append(number)

        race(move)
        assert len(made) == 1
        assert store.get(key) == b"%d" % made[0]


def race(move: Callable[[int], Any]) -> list[int]:
    """The numbers of those racers whose move did not meet a conflict."""
    start, won, failed = threading.Barrier(RACERS), [], []

    def run(number: int) -> None:
        start.wait()
        try:
            move(number)
            won.append(number)
        except ConflictError:
            pass
        except Exception as error:  # shown by the assertion below
            failed.append(error)

    end = time.monotonic() + 60
    racers = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(max(0.0, end - time.monotonic()))
    assert failed == [] and not any(racer.is_alive() for racer in racers)
    return won


@pytest.mark.parametrize("key", ["../x", "/etc/x", "a/../../x", "", "a\\b"])
def test_keys_stay_inside(key: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no key of a store"):
        open_store(tmp_path).get(key)


@pytest.mark.parametrize("address", ["gs://bucket/x", "s3:///prefix", ""])
def test_address_without_a_store(address: str) -> None:
    with pytest.raises(StoreError, match=r"(store|bucket)"):
        open_store(address)


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store")
    assert store.put("a/old", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tasks.store.base.os.fsync", full)
    with pytest.raises(StoreError, match=r"no space left.*a/new"):
        store.put("a/new", b"new")
    with pytest.raises(StoreError, match="no space left"):
        store.put_if("a/old", b"new", (store.get_with_tag("a/old") or (b"", ""))[1])
    assert [path.name for path in (tmp_path / "store" / "a").iterdir()] == ["old"]
    assert store.get("a/old") == b"old"


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    store, yesterday = open_store(tmp_path), time.time() - 25 * 3600
    for name in (".old.part", ".new.part", ".old.txt"):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (yesterday, yesterday) if "old" in name else None)
    (tmp_path / ".folder.part" / "deep").mkdir(parents=True)
    os.utime(tmp_path / ".folder.part", (yesterday, yesterday))
    assert list(store.keys("")) == [".old.txt"]
    store.put("a", b"1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.part", ".old.txt", "a"]


HOLDER = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of the object `c` in the store `tmp_path`."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".c.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


def test_lock_that_is_held_is_waited_for(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    store = FolderStore(tmp_path, patience=0.1)
    with pytest.raises(StoreError, match=r"'c'.*locked by another process.*try again"):
        store.put_if("c", b"1", None)
    assert store.get("c") is None
    assert list(store.keys("")) == []


def test_lock_of_a_killed_process_is_free(tmp_path: Path, held: subprocess.Popen[str]) -> None:
    store = FolderStore(tmp_path)
    held.kill()
    won = race(lambda number: store.put_if("c", b"%d" % number, None))
    assert len(won) == 1
    assert list(store.keys("")) == ["c"]


def test_server_without_conditions_needs_a_single_writer(
    rclone_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_server(monkeypatch, rclone_s3)
    store = open_store("s3://models/alone")
    assert store.put("a", b"1")
    with pytest.raises(StoreError, match=r"ignores conditional writes.*single_writer: true"):
        store.put_if("c", b"1", None)
    assert store.get("c") is None
    assert store.keys("probe/") == {}


def test_single_writer_still_uses_conditions_that_work(
    moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_server(monkeypatch, moto_s3)
    store: Any = open_store("s3://models/careful", single_writer=True)
    assert store.conditional()
    assert store.keys("") == {}


def test_lost_answer_is_no_conflict(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, moto_s3)
    store: Any = open_store("s3://models/lost")
    store.put_if("c", b"mine", None)
    store.put_if("c", b"mine", None)  # what a retry of the same write looks like
    with pytest.raises(ConflictError):
        store.put_if("c", b"other", None)


class Breaking:
    """A body that breaks after its first piece."""

    def __init__(self, body: Any) -> None:
        self.body = body

    def iter_chunks(self, size: int) -> Any:
        yield next(self.body.iter_chunks(size))
        self.body.close()
        raise ReadTimeoutError(endpoint_url="http://store")


@pytest.mark.parametrize("kind", ["moto", "rclone"])
@pytest.mark.parametrize("breaks", [2, 3])
def test_broken_download_goes_on(
    kind: str,
    breaks: int,
    store_on: Callable[[str], Store],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    store: Any = store_on(kind)
    content = os.urandom(5 << 20)
    # another client, whose checksum of the whole rclone sends along with a range of it
    client = boto3.session.Session().client("s3")
    client.put_object(Bucket=store.bucket, Key=f"{store.prefix}big", Body=content)
    ranges = []

    def opened(key: str, **rest: str) -> Any:
        ranges.append(rest.get("Range"))
        answer = type(store)._open(store, key, **rest)
        body = answer["Body"]
        return {**answer, "Body": Breaking(body) if len(ranges) <= breaks else body}

    monkeypatch.setattr(store, "_open", opened)
    if breaks == 2:
        store.download("big", tmp_path / "big")
        assert (tmp_path / "big").read_bytes() == content
        assert ranges == [None, "bytes=1048576-", "bytes=2097152-"]
    else:
        with pytest.raises(StoreError, match="cannot reach"):
            store.download("big", tmp_path / "big")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials(name: str, rclone_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, rclone_s3)
    monkeypatch.setenv(name, "wrong-and-private")
    store = open_store("s3://models/x")
    for ask in (lambda: store.get("a"), lambda: store.put("a", b""), lambda: store.keys("a")):
        with pytest.raises(StoreError, match=r"HTTP 403\); check AWS_ACCESS_KEY_ID") as caught:
            ask()
        assert "private" not in str(caught.value)


def test_no_credentials(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    use_server(monkeypatch, moto_s3)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreError, match="no credentials for the store s3://models/x; set AWS_"):
        open_store("s3://models/x").get("a")


def test_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(StoreError, match=r"cannot set up the store.*nobody.*AWS_PROFILE"):
        open_store("s3://models/x")


@pytest.mark.parametrize("server", ["moto_s3", "rclone_s3"])
def test_missing_bucket(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_server(monkeypatch, request.getfixturevalue(server))
    store = open_store("s3://nowhere/x")
    for ask in (lambda: store.get("a"), lambda: store.put("a", b""), lambda: store.keys("a")):
        with pytest.raises(StoreError, match=r"no bucket 'nowhere'.*create it"):
            ask()


def test_web_server_that_is_no_store(
    monkeypatch: pytest.MonkeyPatch, rclone_s3: S3Server, tmp_path: Path
) -> None:
    """A 404 of anybody else must not read as 'there is no champion yet'."""
    import http.server

    class Answers404(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *args: Any) -> None: ...

    use_server(monkeypatch, rclone_s3)
    with http.server.HTTPServer(("127.0.0.1", 0), Answers404) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:hidden@127.0.0.1:{web.server_port}")
        try:
            with pytest.raises(StoreError, match=r"404.*AWS_ENDPOINT_URL is an S3") as caught:
                open_store("s3://models/x").get("champions/p.json")
        finally:
            web.shutdown()
    assert "hidden" not in str(caught.value)


def test_unreachable_server_fails_soon(
    monkeypatch: pytest.MonkeyPatch, rclone_s3: S3Server
) -> None:
    use_server(monkeypatch, rclone_s3)
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    start = time.monotonic()
    with pytest.raises(StoreError, match=f"cannot reach the store s3://models/x at {url}: .*check"):
        open_store("s3://models/x").get("a")
    assert time.monotonic() - start < 20


def test_silent_server_fails_soon(monkeypatch: pytest.MonkeyPatch, rclone_s3: S3Server) -> None:
    use_server(monkeypatch, rclone_s3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(StoreError, match=r"cannot reach.*ReadTimeout"):
            open_store("s3://models/x", timeout=0.3).get("a")
    assert time.monotonic() - start < 20


def test_what_rclone_holds_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    server = rclone_server(tmp_path)
    use_server(monkeypatch, server)
    server.start()
    try:
        store = open_store("s3://models", single_writer=True)
        store.put_if("champions/p.json", b"1", None)
        server.kill()
        with pytest.raises(StoreError, match="cannot reach"):
            store.get("champions/p.json")
        server.start()
        assert store.get("champions/p.json") == b"1"
    finally:
        server.kill()


def test_an_address_is_told_as_a_reader_in_the_workspace_finds_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "line")
    workspace.root.mkdir()
    (workspace.root / "params.yaml").write_text("line: {store: models/store}\n")
    assert seen_from(workspace, str(workspace.root / "models/store")) == "models/store"
    assert seen_from(workspace, "/before/it/was/moved/models/store") == "models/store"
    assert seen_from(workspace, "/mnt/store") == "/mnt/store"
    assert seen_from(workspace, "s3://factory/line") == "s3://factory/line"
