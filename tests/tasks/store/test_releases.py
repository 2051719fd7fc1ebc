"""Releases are whole or invisible, and a champion changes once, by one, with a record."""

import hashlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision, Side
from tasks.documents.manifest import About
from tasks.documents.metrics import GateMetrics
from tasks.reporting.store_history import read_store_records
from tasks.store.base import Store
from tasks.store.champion import champion, promote, record, rollback, rolled_back
from tasks.store.fetch_release import fetch
from tasks.store.opening import open_store
from tasks.store.releases import publish, releases
from tasks.workspace.errors import ConflictError, DataError, StoreError
from tests.s3_servers import rclone_server, use_server

ABOUT = About(algorithm="padim", metrics=GateMetrics(image_auroc=0.98, pixel_auroc=None))
WHY: Any = {"reason": "better", "by": "anna"}
FILES = {"model.safetensors": b"weights", "fit.json": b"{}", "evaluation/rock n roll ü.csv": b"a,b"}
Make = Callable[..., Path]


@pytest.fixture(params=["folder", "moto", "rclone"])
def store(request: pytest.FixtureRequest, store_on: Callable[[str], Store]) -> Store:
    return store_on(request.param)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that makes a folder with FILES, told apart by its number."""

    def folder(number: int = 0) -> Path:
        root = tmp_path / f"model {number}"
        for name, content in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content + b"%d" % number)
        return root

    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


class Dropping(Store):
    """Another store whose k-th change fails, before or after it was made."""

    def __init__(self, inner: Store, k: int, made: bool) -> None:
        self.inner, self.left, self.made, self.address = inner, k, made, inner.address

    def _change(self, change: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left != 0:
            return change()
        if self.made:
            change()
        raise StoreError("the network is gone")

    def put(self, key: str, data: bytes | Path) -> bool:
        return bool(self._change(lambda: self.inner.put(key, data)))

    def put_if(self, key: str, data: bytes, tag: str | None) -> None:
        self._change(lambda: self.inner.put_if(key, data, tag))

    def delete(self, key: str) -> None:
        self._change(lambda: self.inner.delete(key))

    def get_with_tag(self, key: str) -> tuple[bytes, str] | None:
        return self.inner.get_with_tag(key)

    def chunks(self, key: str) -> Iterator[bytes]:
        return self.inner.chunks(key)

    def keys(self, prefix: str) -> dict[str, int]:
        return self.inner.keys(prefix)


def test_round_trip(store: Store, make: Make, tmp_path: Path) -> None:
    assert (champion(store, "nut"), releases(store, "nut")) == (None, [])
    release = publish(make(), "nut", store, ABOUT)
    pointer = promote(store, "nut", release, **WHY)
    assert champion(store, "nut") == pointer
    assert (pointer.release, pointer.previous) == (release, None)
    folder = fetch(store, "nut", None, tmp_path / "cache")
    assert contents(folder) == contents(make())
    (one,) = releases(store, "nut")
    assert (one.id, one.algorithm, one.champion) == (release, "padim", True)
    assert one.metrics == ABOUT.metrics
    assert one.bytes == sum(len(content) + 1 for content in FILES.values())
    assert releases(store, "bolt") == []


def test_id_is_what_sha256sum_gives(make: Make, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    lines = b""
    for name in sorted(FILES):
        digest = hashlib.sha256(FILES[name] + b"0").hexdigest()
        lines += f"{digest}  {name}\n".encode()
    assert publish(make(), "nut", store, ABOUT) == hashlib.sha256(lines).hexdigest()[:16]
    assert publish(make(1), "nut", store, ABOUT) != publish(make(), "nut", store, ABOUT)


def test_publishing_again_changes_nothing(
    store: Store, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    first = publish(make(), "nut", store, ABOUT)
    manifest = store.get(f"releases/nut/{first}/manifest.json")
    with caplog.at_level(logging.INFO, "tasks.store.releases"):
        assert publish(make(), "nut", store, About(algorithm="fastflow")) == first
    assert "published before" in caplog.text
    assert store.get(f"releases/nut/{first}/manifest.json") == manifest


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("kind", ["folder", "moto", "rclone"])
def test_interrupted_anywhere(
    kind: str,
    made: bool,
    make: Make,
    store_on: Callable[[str], Store],
    tmp_path: Path,
) -> None:
    """After each change in turn fails: a reader sees old or new, whole; running again completes."""
    store = store_on(kind)
    changes, number = 0, 0
    while True:
        number += 1
        old = champion(store, "nut")
        dropping = Dropping(store, number, made)
        try:
            new = promote(dropping, "nut", publish(make(number), "nut", dropping, ABOUT), **WHY)
        except StoreError:
            changes += 1
            seen = champion(store, "nut")
            if seen is None or seen == old:
                assert seen == old
            else:
                assert made
                assert seen.previous == (old.release if old is not None else None)
            if seen is not None:
                origin = number if seen != old else number - 1
                folder = fetch(store, "nut", None, tmp_path / "cache")
                assert contents(folder) == contents(make(origin))
            release = publish(make(number), "nut", store, ABOUT)
            new = promote(store, "nut", release, **WHY)
        assert contents(fetch(store, "nut", None, tmp_path / "cache")) == contents(make(number))
        assert [one.id for one in releases(store, "nut")][-1] == new.release
        if dropping.left > 0:
            break
    # each file, the manifest, the record before, the pointer; for the last record see the next test
    assert changes == len(FILES) + 3
    assert len(store.keys("records/nut/")) == number


def test_record_that_was_cut_off_follows(store: Store, make: Make) -> None:
    ids = [publish(make(number), "nut", store, ABOUT) for number in range(2)]
    pointer = promote(Dropping(store, 2, False), "nut", ids[0], **WHY)
    assert champion(store, "nut") == pointer
    assert store.keys("records/nut/") == {}
    promote(store, "nut", ids[1], **WHY)
    assert len(store.keys("records/nut/")) == 2
    first = json.loads(store.get(pointer.record) or b"")
    assert first["release"] == ids[0] and first["reason"] == "better"


class Meeting(Dropping):
    """A store that shows the champion to its reader only when all racers have looked."""

    def __init__(self, inner: Store, barrier: threading.Barrier) -> None:
        super().__init__(inner, 0, False)
        self.barrier, self.met = barrier, False

    def get_with_tag(self, key: str) -> tuple[bytes, str] | None:
        found = self.inner.get_with_tag(key)
        if key.startswith("champions/") and not self.met:
            self.met = True
            self.barrier.wait(20)
        return found


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("kind", ["folder", "moto"])
def test_one_of_eight_promoters_wins(
    kind: str,
    first: bool,
    make: Make,
    store_on: Callable[[str], Store],
) -> None:
    store = store_on(kind)
    ids = [publish(make(number), "nut", store, ABOUT) for number in range(9)]
    if not first:
        promote(store, "nut", ids[8], **WHY)
    barrier, lost = threading.Barrier(8), []
    won: list[Pointer] = []

    def run(number: int) -> None:
        try:
            racing = Meeting(store, barrier)
            won.append(promote(racing, "nut", ids[number], reason="race", by=f"racer {number}"))
        except ConflictError as error:
            lost.append(str(error))

    racers = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert (len(won), len(lost)) == (1, 7)
    assert champion(store, "nut") == won[0]
    assert all(won[0].by in text and won[0].release in text for text in lost)


def test_decision_against_a_replaced_champion(store: Store, make: Make) -> None:
    ids = [publish(make(number), "nut", store, ABOUT) for number in range(3)]
    against_none = against(None)
    pointer = promote(store, "nut", ids[0], **WHY, record=against_none)
    assert json.loads(store.get(pointer.record) or b"")["decision"] == against_none.dump()
    for compared in (None, ids[2]):
        with pytest.raises(ConflictError, match=f"{ids[0]} .* by anna since"):
            promote(store, "nut", ids[1], **WHY, record=against(compared))
    assert promote(store, "nut", ids[1], **WHY, record=against(ids[0])).release == ids[1]


def against(release: str | None) -> Decision:
    """A decision for a challenger that was compared with this champion."""
    champion = None if release is None else Side(algorithm="padim", release=release)
    return Decision(accepted=True, challenger=Side(algorithm="padim"), champion=champion)


def test_rolling_back(store: Store, make: Make) -> None:
    a, b, c = (publish(make(number), "nut", store, ABOUT) for number in range(3))
    with pytest.raises(StoreError, match="no earlier champion"):
        rollback(store, "nut", **WHY)
    for release in (a, b, c):
        promote(store, "nut", release, **WHY)
    back = rollback(store, "nut", reason="overkill in shift 2", by="ben")
    assert (back.release, back.previous, back.by) == (b, a, "ben")
    assert promote(store, "nut", c, **WHY).previous == b
    assert [rollback(store, "nut", **WHY).release for _ in range(2)] == [b, a]
    with pytest.raises(StoreError, match="no earlier champion"):
        rollback(store, "nut", **WHY)
    kinds = [json.loads(store.get(key) or b"")["kind"] for key in store.keys("records/nut/")]
    assert kinds == ["promote"] * 3 + ["rollback", "promote"] + ["rollback"] * 2


def test_promoting_the_champion_changes_nothing(store: Store, make: Make) -> None:
    release = publish(make(), "nut", store, ABOUT)
    pointer = promote(store, "nut", release, **WHY)
    assert promote(store, "nut", release, reason="again", by="ben") == pointer
    assert list(store.keys("records/nut/")) == [pointer.record]


def test_promoting_what_is_not_whole(store: Store, make: Make) -> None:
    release = publish(make(), "nut", store, ABOUT)
    with pytest.raises(StoreError, match="no whole release '0123456789abcdef'"):
        promote(store, "nut", "0123456789abcdef", **WHY)
    with pytest.raises(StoreError, match="16 hexadecimal"):
        promote(store, "nut", "../../bolt", **WHY)
    store.delete(f"releases/nut/{release}/fit.json")
    with pytest.raises(StoreError, match=r"fit\.json'.*missing; publish"):
        promote(store, "nut", release, **WHY)
    store.put(f"releases/nut/{release}/fit.json", b"{")
    with pytest.raises(StoreError, match=r"fit\.json'.*it has 1 bytes, its manifest says 3"):
        promote(store, "nut", release, **WHY)
    assert publish(make(), "nut", store, ABOUT) == release  # repairs it
    assert promote(store, "nut", release, **WHY).release == release


def test_damaged_object(store: Store, make: Make, tmp_path: Path) -> None:
    release = publish(make(), "nut", store, ABOUT)
    key = f"releases/nut/{release}/model.safetensors"
    for broken, repaired in ((b"weightz0", False), (b"weight", True)):
        store.delete(key)
        store.put(key, broken)
        with pytest.raises(StoreError, match=rf"'{key}'.*is damaged: its sha256"):
            fetch(store, "nut", release, tmp_path / "cache")
        assert list((tmp_path / "cache" / "nut").iterdir()) == []
        publish(make(), "nut", store, ABOUT)
        assert (store.get(key) == b"weights0") is repaired  # sizes show without reading


def manifest(**keys: Any) -> bytes:
    """A manifest with these keys."""
    known = {"product": "nut", "release": "", "algorithm": "padim", "created": "", "about": {}}
    return json.dumps({"format": 1, **known, **keys}).encode()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "damaged: it is not JSON"),
        (b'{"format": 1, "files": {}}', "damaged: product: field required"),
        (manifest(files={}), "damaged: its list of files"),
        (manifest(files={"../a": {"sha256": "b", "bytes": 1}}), "damaged: its list of files"),
        (manifest(files=3), "damaged: files: "),
        (b'{"format": 2}', "has format 2, this version reads 1; upgrade"),
    ],
)
def test_damaged_manifest(
    content: bytes, reason: str, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(tmp_path / "store")
    release = publish(make(), "nut", store, ABOUT)
    key = f"releases/nut/{release}/manifest.json"
    (tmp_path / "store" / key).write_bytes(content)
    for use in (
        lambda: fetch(store, "nut", release, tmp_path / "cache"),
        lambda: promote(store, "nut", release, **WHY),
        lambda: publish(make(), "nut", store, ABOUT),
    ):
        with pytest.raises(StoreError, match=rf"manifest\.json' .* {reason}"):
            use()
    assert releases(store, "nut") == [] and reason in caplog.text
    store.delete(key)
    assert publish(make(), "nut", store, ABOUT) == release


def test_damaged_pointer(make: Make, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("champions/nut.json", b"\xff")
    with pytest.raises(StoreError, match=r"champions/nut\.json.*damaged"):
        champion(store, "nut")


def test_fetching_uses_the_cache(store: Store, make: Make, tmp_path: Path) -> None:
    release = publish(make(), "nut", store, ABOUT)
    cache = tmp_path / "cache"
    with pytest.raises(StoreError, match=r"no champion.*promote"):
        fetch(store, "nut", None, cache)
    folder = fetch(store, "nut", release, cache)
    nowhere = open_store(tmp_path / "nowhere")
    assert fetch(nowhere, "nut", release, cache) == folder
    (folder / "model.safetensors").write_bytes(b"weightz0")
    assert contents(fetch(store, "nut", release, cache)) == contents(make())
    assert [path.name for path in folder.parent.iterdir()] == [release]
    (folder / "fit.json").unlink()
    with pytest.raises(StoreError, match="no whole release"):
        fetch(nowhere, "nut", release, cache)


def test_several_fetch_at_once(make: Make, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    release = publish(make(), "nut", store, ABOUT)
    found: list[Path] = []
    racers = [
        threading.Thread(target=lambda: found.append(fetch(store, "nut", release, tmp_path / "c")))
        for _ in range(6)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(found) == 6
    assert [path.name for path in (tmp_path / "c" / "nut").iterdir()] == [release]


def test_folders_that_cannot_be_published(make: Make, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no files to publish"):
        publish(tmp_path / "empty", "nut", store, ABOUT)
    with pytest.raises(DataError, match="no 'algorithm'"):
        publish(make(), "nut", store, About())
    nan = GateMetrics(image_auroc=float("nan"))
    with pytest.raises(DataError, match="null for NaN"):
        publish(make(), "nut", store, About(algorithm="padim", metrics=nan))
    with pytest.raises(DataError, match="no product name"):
        publish(make(), "../nut", store, ABOUT)
    (make() / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="rename it"):
        publish(make(), "nut", store, ABOUT)
    assert not (tmp_path / "store").exists()


def test_folder_that_changes_meanwhile(make: Make, tmp_path: Path) -> None:
    store, folder = open_store(tmp_path / "store"), make()

    class Touching(Dropping):
        def put(self, key: str, data: bytes | Path) -> bool:
            (folder / "fit.json").write_bytes(b"{} ")
            return self.inner.put(key, data)

    with pytest.raises(DataError, match="changed while it was published"):
        publish(folder, "nut", Touching(store, 0, False), ABOUT)
    assert releases(store, "nut") == []
    shutil.rmtree(folder)
    release = publish(make(), "nut", store, ABOUT)  # the wrong object is found and replaced
    assert contents(fetch(store, "nut", release, tmp_path / "cache")) == contents(folder)


def test_records_are_kept(store: Store) -> None:
    body = {"time": "2026-03-04T05:06:07+00:00", "accepted": False, "reasons": ["too slow"]}
    key = record(store, "nut", "decision", body)
    assert record(store, "nut", "decision", body) == key
    other = record(store, "nut", "decision", {**body, "reasons": []})
    assert list(store.keys("records/nut/")) == sorted([key, other])
    assert key.startswith("records/nut/20260304T050607Z-decision-")
    assert json.loads(store.get(key) or b"") == {"kind": "decision", **body}
    with pytest.raises(DataError, match="no kind of record"):
        record(store, "nut", "a/b", body)


def test_server_killed_in_mid_publish(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk" / "models").mkdir(parents=True)
    server = rclone_server(tmp_path / "disk")
    use_server(monkeypatch, server)
    server.start()
    try:
        store = open_store("s3://models/line", single_writer=True, timeout=2.0)
        old = promote(store, "nut", publish(make(), "nut", store, ABOUT), **WHY)
        (make(1) / "model.safetensors").write_bytes(bytes(64 << 20))
        killer = threading.Thread(target=kill_when, args=(server, tmp_path / "disk"))
        killer.start()
        with pytest.raises(StoreError, match="cannot reach"):
            publish(tmp_path / "model 1", "nut", store, ABOUT)
        killer.join()
        server.start()
        assert champion(store, "nut") == old
        assert contents(fetch(store, "nut", None, tmp_path / "cache")) == contents(make())
        assert [one.id for one in releases(store, "nut")] == [old.release]
        release = publish(tmp_path / "model 1", "nut", store, ABOUT)
        folder = fetch(store, "nut", release, tmp_path / "cache")
        assert contents(folder) == contents(tmp_path / "model 1")
    finally:
        server.kill()


def kill_when(server: Any, disk: Path) -> None:
    """Kill the server while the 64 MB file is being written, or at once after that."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with suppress(FileNotFoundError):  # renamed since it was listed
            if any(path.stat().st_size > 1 << 20 for path in disk.rglob("*")):
                break
    server.kill()


def test_the_order_of_changes_is_their_chain_whatever_the_clocks_say(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn changes by machines whose clocks differ by an hour: what was rolled back is known."""
    for seed in range(12):
        random = np.random.default_rng(seed)
        store = open_store(tmp_path / f"store {seed}")
        ids = [publish(make(number), "nut", store, ABOUT) for number in range(4)]
        wrong: set[str] = set()
        for _ in range(15):
            skew = timedelta(seconds=float(random.uniform(-3600, 3600)))
            when = (datetime.now(UTC) + skew).isoformat(timespec="microseconds")
            monkeypatch.setattr("tasks.store.champion.now", lambda when=when: when)
            current = champion(store, "nut")
            if current is not None and current.history and random.random() < 0.4:
                wrong.add(current.release)
                back = rollback(store, "nut", **WHY)
                wrong.discard(back.release)
            else:
                wrong.discard(promote(store, "nut", str(random.choice(ids)), **WHY).release)
            assert set(rolled_back(store, "nut")) == wrong
        told = read_store_records(store, "nut").history
        first = [json.loads(store.get(key) or b"") for key in store.keys("records/nut/")]
        assert len(told) == len(first)
        assert told[0].time == champion(store, "nut").since  # type: ignore[union-attr]


def test_changes_of_an_earlier_version_come_first_by_their_time(make: Make, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    ids = [publish(make(number), "nut", store, ABOUT) for number in range(3)]
    for release in ids:
        promote(store, "nut", release, **WHY)
    rollback(store, "nut", **WHY)
    for path in (tmp_path / "store").glob("*/nut*"):  # as version 0.1 wrote them
        for file in [path] if path.is_file() else path.glob("*.json"):
            if file.parent.name == "releases":
                continue
            body = json.loads(file.read_text())
            body.pop("after", None)
            file.write_text(json.dumps(body))
    assert set(rolled_back(store, "nut")) == {ids[2]}
    promote(store, "nut", ids[2], **WHY)
    assert rolled_back(store, "nut") == {}


STRAY = {
    "releases/nut/notes/manifest.json": b"{}",
    "releases/nut/0123456789abcdef/manifest.json": b"{",
    "releases/nut/0123456789abcdee/manifest.json": b"[]",
    "releases/nut/0123456789abcded/manifest.json": b"\xff\xfe",
    "releases/nut/0123456789abcdec/manifest.json": b'{"format": 9}',
    "releases/nut/README/deep/manifest.json": b"",
    "releases/nut/manifest.json": b"",
    "records/nut/20260101T000000Z-refusal-00000000.json": b'{"kind": "refus',
    "records/nut/20260101T000001Z-threshold-00000000.json": b"[]",
    "records/nut/notes.txt": b"hello",
    "records/nut/empty": b"",
}


def test_stray_folders_and_torn_records_break_no_listing(
    store: Store, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    release = publish(make(), "nut", store, ABOUT)
    promote(store, "nut", release, **WHY)
    for key, content in STRAY.items():
        assert store.put(key, content)
    assert [one.id for one in releases(store, "nut")] == [release]
    assert "left out of the releases of nut" in caplog.text
    told = read_store_records(store, "nut")
    assert [one.id for one in told.releases] == [release] and told.champion is not None
    kinds = [one.kind for one in told.history]
    assert "promote" in kinds and kinds.count("damaged") >= 3
    assert rolled_back(store, "nut") == {}
