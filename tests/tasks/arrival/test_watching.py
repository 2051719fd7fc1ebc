"""When watched files are whole, when they are taken, and which of them together."""

import uuid
from pathlib import PurePosixPath

import pytest

from tasks.arrival.bucket_events import BucketEvents
from tasks.arrival.labels import read_labels
from tasks.arrival.waiting import Waiting
from tasks.arrival.watch_state import WatchState
from tasks.arrival.watched import BucketSource, FolderSource, ready_files
from tasks.workspace.aws import client
from tasks.workspace.errors import DataError, StoreError
from tasks.workspace.paths import Workspace
from tests.s3_servers import use_server


def paths(*names):
    return {PurePosixPath(name) for name in names}


def listing(**sizes):
    return {PurePosixPath(f"{name}.png"): (size, "") for name, size in sizes.items()}


def test_a_file_that_grows_is_not_whole():
    waiting = Waiting(settle=10, gather=0, at_most=1000)
    for now, size in ((0, 10), (9, 20), (18, 30), (27, 30)):
        waiting.update(listing(a=size, b=5), {}, now)
        assert PurePosixPath("a.png") not in waiting.whole(now)
    assert waiting.whole(27) == paths("b.png")
    assert waiting.whole(28) == paths("a.png", "b.png")


def test_ten_drops_in_a_minute_are_taken_at_once():
    waiting = Waiting(settle=5, gather=30, at_most=600)
    taken_at, files = [], {}
    for now in range(0, 200):
        if now % 6 == 0 and now < 60:
            files |= listing(**{f"drop{now}": 1})
        waiting.update(files, {}, now)
        if waiting.due(now):
            taken_at.append((now, len(waiting.whole(now))))
            break
    assert taken_at == [(54 + 30, 10)]


def test_a_source_that_never_rests_is_taken_in_time():
    waiting = Waiting(settle=5, gather=30, at_most=100)
    files = {}
    for now in range(101):
        files |= listing(**{f"drop{now}": 1})
        waiting.update(files, {}, now)
        assert waiting.due(now) is (now == 100)
    assert len(waiting.whole(100)) == 96


def test_what_was_taken_is_not_new_until_it_changes():
    waiting = Waiting(settle=0, gather=0, at_most=0)
    waiting.update(listing(a=1, b=1), listing(a=1), 0)
    assert waiting.new == paths("b.png")
    waiting.update(listing(a=2, b=1), listing(a=1, b=1), 1)
    assert waiting.new == paths("a.png")
    waiting.update({}, listing(a=1), 2)
    assert not waiting.new and not waiting.due(2)


def ready(everything, new, whole, *labels):
    """Paths to ingest, and paths that are refused."""
    offer = ready_files(everything, new, whole, "drop", read_labels(labels))
    taken = {path for one in offer.arrivals for path in one.files}
    return taken, {path for path, _ in offer.refused}


IMAGE, MASK = "test/crack/1.png", "ground_truth/crack/1_mask.png"
OTHER = "train/good/2.png"


@pytest.mark.parametrize(
    ("new", "whole", "taken"),
    [
        ({IMAGE, MASK, OTHER}, {IMAGE, MASK, OTHER}, {IMAGE, MASK, OTHER}),
        ({IMAGE, MASK, OTHER}, {IMAGE, OTHER}, {OTHER}),  # its mask still grows
        ({MASK}, {IMAGE, MASK, OTHER}, {IMAGE, MASK}),  # the mask came later
        ({OTHER}, {IMAGE, MASK, OTHER}, {OTHER}),
    ],
)
@pytest.mark.parametrize("root", ["", "line1/"])
def test_an_image_is_taken_with_its_mask(new, whole, taken, root):
    def at(names):
        return paths(*(root + name for name in names))

    everything = dict.fromkeys(at({IMAGE, MASK, OTHER}), (1, ""))
    assert ready(everything, at(new), at(whole)) == (at(taken), set())


def test_a_mask_waits_for_its_image_and_what_lies_beside_the_layout_is_asked():
    everything = dict.fromkeys(paths(MASK, OTHER, "stray.png"), (1, ""))
    with pytest.raises(DataError, match=r"\. \(1\)"):
        ready(everything, set(everything), set(everything))
    found = ready(everything, set(everything), set(everything), "skip=.")
    assert found == (paths(OTHER), set())
    everything = dict.fromkeys(paths(MASK, OTHER, "stray.gif"), (1, ""))
    found = ready(everything, set(everything), set(everything))
    assert found == (paths(OTHER), paths("stray.gif"))


def test_what_cannot_be_read_in_a_watched_folder_is_told(tmp_path):
    (tmp_path / "1.png").write_bytes(b"1")
    (tmp_path / "2.png").symlink_to(tmp_path / "nowhere")
    source = FolderSource(str(tmp_path))
    assert [str(path) for path in source.listing()] == ["1.png"]
    [(name, reason)] = source.refused
    assert name == "2.png" and "link to nothing" in reason


def test_a_plain_folder_is_judged_by_all_that_is_in_it_not_by_the_last_file():
    everything = dict.fromkeys(paths("good/1.png", "odd/2.png"), (1, ""))
    with pytest.raises(DataError, match=r"may hold good images, defects or neither.*odd \(1\)"):
        ready(everything, paths("good/1.png"), set(everything))
    assert ready(everything, paths("good/1.png"), set(everything), "drift=odd") == (
        paths("good/1.png"),
        set(),
    )
    plain = dict.fromkeys(paths("1.png", "2.png"), (1, ""))
    assert ready(plain, set(plain), paths("2.png")) == (paths("2.png"), set())


def test_a_folder_is_listed_and_staged_as_links(tmp_path):
    drop = tmp_path / "drop"
    (drop / "train" / "good").mkdir(parents=True)
    (drop / "train" / "good" / "1.png").write_bytes(b"12345")
    (drop / "state.txt").write_text("no image")
    source = FolderSource(str(drop))
    before = source.listing()
    [(path, (size, _))] = before.items()
    assert (str(path), size) == ("train/good/1.png", 5)
    (drop / "train" / "good" / "1.png").write_bytes(b"654321")
    assert source.listing() != before
    source.stage(before, tmp_path / "scratch")
    assert (tmp_path / "scratch" / "train" / "good" / "1.png").read_bytes() == b"654321"
    with pytest.raises(DataError, match="no such folder"):
        FolderSource(str(tmp_path / "nowhere")).listing()


def test_a_bucket_is_listed_below_its_prefix_and_staged(tmp_path, moto_s3, monkeypatch):

    use_server(monkeypatch, moto_s3)
    prefix = uuid.uuid4().hex
    keys = {f"{prefix}/train/good/1.png": b"1", f"{prefix}/read.me": b"", f"{prefix}2/3.png": b"3"}
    for key, content in keys.items():
        client("s3").put_object(Bucket="models", Key=key, Body=content)
    source = BucketSource(f"s3://models/{prefix}/")
    [(path, first)] = source.listing().items()
    assert str(path) == "train/good/1.png" and first[0] == 1
    client("s3").put_object(Bucket="models", Key=f"{prefix}/train/good/1.png", Body=b"2")
    assert source.listing()[path] != first
    source.stage([path], tmp_path)
    assert (tmp_path / path).read_bytes() == b"2"
    with pytest.raises(StoreError, match="s3://nowhere/x cannot be read"):
        BucketSource("s3://nowhere/x").listing()


ODD_KEYS = ["/abs/evil.png", "../evil.png", "x" * 260 + ".png", "a.png/b.png"]


def test_odd_keys_of_a_bucket_are_refused_by_name_and_the_rest_is_taken(
    tmp_path, moto_s3, monkeypatch
):
    from tasks.arrival.buckets import download_bucket

    use_server(monkeypatch, moto_s3)
    prefix = uuid.uuid4().hex
    outside = tmp_path / "outside"
    names = [*ODD_KEYS, f"{outside}/evil.png", "a.png", "b//c.png", "./d.png"]
    for name in names:
        client("s3").put_object(Bucket="models", Key=f"{prefix}/{name}", Body=name.encode())
    taken = {"a.png": b"a.png", "b/c.png": b"b//c.png", "d.png": b"./d.png"}

    source = BucketSource(f"s3://models/{prefix}")
    assert {str(path) for path in source.listing()} == set(taken)
    source.stage(source.listing(), tmp_path / "watched")
    refused = {name for name, _ in source.refused}
    assert refused == {*ODD_KEYS, f"{outside}/evil.png"}

    (tmp_path / "ingested").mkdir()
    told = download_bucket(f"s3://models/{prefix}", tmp_path / "ingested")
    assert {name for name, _ in told} == refused
    for folder in ("watched", "ingested"):
        found = {
            path.relative_to(tmp_path / folder).as_posix(): path.read_bytes()
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        }
        assert found == taken
    assert not outside.exists() and not list(tmp_path.rglob("evil.png"))


def test_a_bucket_that_tells_is_listed_when_it_told(moto_s3, monkeypatch):
    import boto3

    use_server(monkeypatch, moto_s3)
    name = uuid.uuid4().hex
    sqs = boto3.session.Session().client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    told = {"QueueArn": arn["Attributes"]["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
    s3 = client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": [told]}
    )
    events = BucketEvents(queue)
    cap, nut = (BucketSource(f"s3://{name}/{product}", events) for product in ("cap", "nut"))
    listed = []
    for source in (cap, nut):
        whole = source._list
        monkeypatch.setattr(source, "_list", lambda s=source, w=whole: (listed.append(s), w())[1])
    assert cap.listing() == nut.listing() == {}
    cap.listing(), nut.listing()
    n = len(listed)
    cap.listing(), nut.listing()
    assert len(listed) == n  # nothing came: nothing is asked of the bucket
    s3.put_object(Bucket=name, Key="nut/train/good/1.png", Body=b"1")
    assert cap.listing() == {}  # takes the message; the other source still hears of it
    assert [str(path) for path in nut.listing()] == ["train/good/1.png"]
    n = len(listed)
    cap.listing(), nut.listing()
    assert len(listed) == n
    monkeypatch.setattr("tasks.arrival.watched.RELIST", 0.0)  # a lost message is made good
    cap.listing(), nut.listing()
    assert len(listed) == n + 2
    sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(StoreError, match=r"the queue .+ cannot be read"):
        cap.listing()


def test_a_queue_is_named_by_its_url():
    with pytest.raises(DataError, match="'drops' is not a queue URL"):
        BucketEvents("drops")


def test_notes_are_read_as_they_were_written(tmp_path):
    workspace = Workspace(tmp_path)
    state = WatchState.read(workspace, "cap")
    assert state.taken == {} and not state.due
    state.taken["drop"] = listing(a=7)
    state.due = True
    state.write()
    assert WatchState.read(workspace, "cap") == state
