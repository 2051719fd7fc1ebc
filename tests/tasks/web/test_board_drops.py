"""Images that are dropped onto the board come into the product as by `ingest`, or not, and why."""

import io
import json
import time
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from tasks.arrival.labels import read_labels
from tasks.ingest import ingest
from tasks.store.opening import store_of
from tasks.web.board import drop_routes, drops, taking
from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.web.board.users import Users
from tasks.workspace.lock import RUN, run_lock
from tests.tasks.boards import KEY, Client, line
from tests.tasks.web.test_board import HERE, OURS

BYTES = {**OURS, "Content-Type": "application/octet-stream"}


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Command:
    """`inspectline ingest` in this process, without the versioning; `new` only says that it ran."""

    pid = 1

    def __init__(self, made, words, by, log):
        self.made, self.words, self.by, self.log = made, words, by, log

    def wait(self):
        if self.words[0] == "new":
            self.log.write(" ".join(["starting: 3 s\nran", *self.words]).encode())
            return 0
        _, product, source, *labels, _ = self.words
        asked = read_labels(label for label in labels if label != "--labels")
        scratch = self.made.scratch / "ingest"
        report = ingest(source, self.made.images(product), scratch, labels=asked)
        self.log.write(b"versioning the images: 2 s\n" + json.dumps(asdict(report)).encode())
        return 0


@pytest.fixture
def made(tmp_path):
    return line(tmp_path / "ws")


def client(app, key=KEY):
    found = Client(app, "http://localhost", HERE)
    found.headers = {"Authorization": f"Bearer {key}"}
    return found


@pytest.fixture
def asks(made):
    def start(words, by, log):
        return Command(made, words, by, log)

    return client(create_app(made, Access(key=KEY, users=Users(made).now), start=start))


def opened(asks, product="tile", **more):
    answer = asks.post("/drops", json={"product": product, **more}, headers=OURS)
    assert answer.status_code == 200, answer.text
    return answer.json()["drop"]


def send(asks, drop, name, kind, content):
    about = {"params": {"name": name, "as": kind}, "headers": BYTES}
    return asks.post(f"/drops/{drop}/files", content=content, **about)


def taken(asks, drop, by="anna"):
    answer = asks.post(f"/drops/{drop}/take", json={"by": by}, headers=OURS)
    assert answer.status_code == 200, answer.text
    for _ in range(500):
        if (told := asks.get(f"/drops/{drop}").json())["state"] != "working":
            return told
        time.sleep(0.02)
    raise AssertionError(told)


def test_images_come_into_the_product_and_the_record_says_by_whom(made, asks):
    drop = opened(asks)
    for n, kind in enumerate(("train/good", "test/good", "test/crack", "test/New Type")):
        answer = send(asks, drop, f"ü {n}.png", kind, png(n))
        assert answer.status_code == 200, answer.text
    told = taken(asks, drop)
    assert told["state"] == "done" and told["note"] == "" and told["refused"] == []
    paths = ["test/crack/ü 2.png", "test/good/ü 1.png", "test/new type/ü 3.png"]
    assert sorted(told["new"]) == [*paths, "train/good/ü 0.png"]
    assert all((made.images("tile") / path).is_file() for path in told["new"])
    [key] = [key for key in store_of(made).keys("records/tile/") if "-images-" in key]
    record = json.loads(store_of(made).get(key) or b"")
    assert record["by"] == "anna (board)" and record["count"] == 4
    assert "test/crack 1 new" in record["what"]
    drop = opened(asks)
    send(asks, drop, "again.png", "test/crack", png(2))
    send(asks, drop, "wrong.png", "test/good", png(3))
    told = taken(asks, drop)
    assert told["known"] == ["test/crack/ü 2.png"] and told["new"] == []
    [(file, reason)] = told["refused"]
    assert file.endswith("wrong.png") and "same content as test/new type" in reason


@pytest.mark.parametrize(
    ("name", "kind", "content", "status", "words"),
    [
        ("a.png", "train/good", b"nothing", 422, "a.png: not an image"),
        ("a.png", "train/good", png(1)[:60], 422, "a.png: damaged"),
        ("a.png", "train/good", b"", 422, "a.png: the file is empty"),
        ("a.txt", "train/good", png(1), 422, "a.txt: .txt is not supported"),
        ("a.png", "train/crack", png(1), 422, "train may hold only good"),
        ("a.png", "test/", png(1), 422, "a.png: 'test/' says not"),
        ("a.png", "judge", png(1), 422, "says not"),
        ("a.png", "calibration/good", png(1), 422, "says not"),
        ("a.png", "test/..", png(1), 422, "says not"),
        ("a.png", "test/a=b", png(1), 422, "says not"),
        ("a.png", "test/a,b", png(1), 422, "says not"),
        ("a.png", "test/mask", png(1), 422, "says not"),
        ("a.png", "test/skip", png(1), 422, "says not"),
        ("a.png", "test/--help", png(1), 422, "says not"),
        ("../a.png", "train/good", png(1), 422, "outside its folder"),
        ("/etc/a.png", "train/good", png(1), 422, "outside its folder"),
        (".a.png", "train/good", png(1), 422, "cannot be used"),
        ("a\n.png", "train/good", png(1), 422, "cannot be used"),
        ("a" * 250 + ".png", "train/good", png(1), 422, "too long"),
        ("a.png", "train/good", png(1), 409, "has the content of train/good/first.png"),
    ],
)
def test_a_file_that_cannot_be_taken_is_named_and_leaves_nothing(
    made, asks, name, kind, content, status, words
):
    drop = opened(asks)
    if status == 409:
        assert send(asks, drop, "first.png", kind, content).status_code == 200
    before = sorted(made.scratch.rglob("*"))
    answer = send(asks, drop, name, kind, content)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert sorted(made.scratch.rglob("*")) == before


def test_files_have_a_limit_in_size_and_in_number(made, asks, monkeypatch):
    monkeypatch.setattr(drop_routes, "LARGEST", 2000)
    monkeypatch.setattr(drops, "FILES", 1)
    drop = opened(asks)
    large = send(asks, drop, "large.png", "train/good", b"x" * 3000)
    assert large.status_code == 413 and large.json()["error"].startswith("large.png: larger than")
    assert send(asks, drop, "a.png", "train/good", png(1)).status_code == 200
    more = send(asks, drop, "b.png", "train/good", png(2))
    assert more.status_code == 413 and "at most 1 files" in more.json()["error"]
    monkeypatch.setattr(drops, "OPEN", 1)
    busy = asks.post("/drops", json={"product": "tile"}, headers=OURS)
    assert busy.status_code == 429
    assert not list(made.scratch.rglob("*.part"))


def test_one_name_twice_is_two_files(made, asks):
    drop = opened(asks)
    for n in range(2):
        assert send(asks, drop, "a.png", "train/good", png(n)).status_code == 200
    told = taken(asks, drop)
    assert len(told["new"]) == 2 and "train/good/a.png" in told["new"]


def test_what_is_forgotten_is_gone(made, asks):
    drop = opened(asks)
    send(asks, drop, "a.png", "train/good", png(1))
    assert asks.post(f"/drops/{drop}/forget", json={}, headers=OURS).status_code == 200
    assert not list(made.scratch.rglob("a.png"))
    assert asks.get(f"/drops/{drop}").status_code == 404
    assert send(asks, drop, "a.png", "train/good", png(1)).status_code == 404


def test_during_a_run_the_files_wait(made, asks, monkeypatch):
    monkeypatch.setattr(taking, "PATIENCE", 0.1)
    drop = opened(asks)
    send(asks, drop, "a.png", "train/good", png(1))
    with run_lock(made, what=RUN):
        told = taken(asks, drop)
        assert told["state"] == "failed" and "a run since" in told["error"]
    assert taken(asks, drop)["new"] == ["train/good/a.png"]
    empty = asks.post(f"/drops/{drop}/take", json={"by": "anna"}, headers=OURS)
    assert empty.status_code == 409 and "no file" in empty.json()["error"]


def test_a_product_that_was_removed_meanwhile_does_not_come_back(made, asks):
    drop = opened(asks)
    send(asks, drop, "a.png", "train/good", png(1))
    made.product("tile").rename(made.root / "removed")
    told = taken(asks, drop)
    assert told["state"] == "failed" and "no product 'tile'" in told["error"]
    assert not made.product("tile").exists()


def test_a_product_is_begun_as_by_new(made, asks):
    drop = opened(asks, "disc", new=True)
    send(asks, drop, "a.png", "train/good", png(1))
    send(asks, drop, "b.png", "test/dent", png(2))
    told = taken(asks, drop)
    labels = "--labels dent=test/dent --labels good=train/good"
    assert told["said"] == f"ran new disc --from the files {labels}"
    for name, status in (("tile", 409), ("../x", 422), ("-w", 422)):
        body = {"product": name, "new": True}
        assert asks.post("/drops", json=body, headers=OURS).status_code == status
    assert asks.post("/drops", json={"product": "disc"}, headers=OURS).status_code == 422


def test_each_role_may_add_or_begin_as_it_may(made, asks):
    look, label = (client(asks.app, Users(made).add(f"a {r}", r)) for r in ("look", "label"))
    begun = opened(asks, "disc", new=True)
    mine = opened(label)
    body = {"product": "cup", "new": True}
    answers = [
        look.post("/drops", json={"product": "tile"}, headers=OURS),
        send(look, mine, "a.png", "train/good", png(1)),
        look.post(f"/drops/{mine}/take", json={}, headers=OURS),
        look.post(f"/drops/{mine}/forget", json={}, headers=OURS),
    ]
    assert all("needs the role label" in one.json()["error"] for one in answers)
    answers += [
        label.post("/drops", json=body, headers=OURS),
        send(label, begun, "a.png", "train/good", png(1)),
        label.post(f"/drops/{begun}/take", json={}, headers=OURS),
    ]
    assert all("needs the role promote" in one.json()["error"] for one in answers[4:])
    assert {one.status_code for one in answers} == {403}
    assert send(label, mine, "a.png", "train/good", png(1)).status_code == 200
    assert taken(label, mine, by="")["new"] == ["train/good/a.png"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
def test_a_form_of_another_page_sends_no_file(asks, kind):
    drop = opened(asks)
    about = {"params": {"name": "a.png", "as": "train/good"}, "content": png(1)}
    answer = asks.post(f"/drops/{drop}/files", headers=OURS | {"Content-Type": kind}, **about)
    assert answer.status_code == 415
    bare = {"Content-Type": "application/octet-stream"}
    assert asks.post(f"/drops/{drop}/files", headers=bare, **about).status_code == 403
