"""The board starts a run, shows what it says, and stops it; never two at once."""

import subprocess
import time

import pytest

from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.web.board.runs import PART, Runs
from tasks.web.board.users import Users
from tasks.web.refused import Refused
from tasks.workspace.lock import run_lock
from tests.tasks.boards import KEY, Client, line
from tests.tasks.held import hold
from tests.tasks.web.test_board import HERE, OURS


class Started:
    """Starts processes that hold the workspace as a run does; all have ended at the end."""

    def __init__(self, made):
        self.made, self.all = made, []

    def __call__(self, words, by, log):
        self.all.append(
            hold(self.made, *words, "by", by, stdout=log, stderr=log, start_new_session=True)
        )
        return self.all[-1]


@pytest.fixture
def made(tmp_path):
    return line(tmp_path / "ws")


@pytest.fixture
def started(made):
    starting = Started(made)
    yield starting
    for one in starting.all:
        one.kill()
        one.wait()


@pytest.fixture
def asks(made, started):
    client = Client(create_app(made, Access(key=KEY), start=started), "http://localhost", HERE)
    client.headers = {"Authorization": f"Bearer {KEY}", **OURS}
    return client


def until(asks, condition):
    for _ in range(500):
        if condition(told := asks.get("/progress").json()):
            return told
        time.sleep(0.02)
    raise AssertionError(told)


def test_no_run_is_started_on_a_full_disk(asks, started, monkeypatch):
    monkeypatch.setattr("tasks.web.board.runs.LEAST", 1 << 60)
    answer = asks.post("/runs", json={"products": ["tile"], "by": "anna"})
    assert answer.status_code == 507 and "free some space" in answer.json()["error"]
    assert not started.all and asks.get("/progress").json()["begun"] is None


def test_a_run_is_started_followed_and_stopped(made, asks, started):
    answer = asks.post("/runs", json={"products": ["tile"], "by": "anna"})
    assert answer.status_code == 200, answer.text
    assert asks.get("/progress").json()["planning"]
    told = until(asks, lambda told: told["held"] and told["run"])
    assert told["held"]["what"] == "run" and told["held"]["pid"] == started.all[0].pid
    assert told["run"]["state"] == "working" and told["begun"]["by"] == "anna (board)"
    found = asks.get("/runs/output").json()
    assert found["text"] == "it works run -p tile by anna (board)\n" and not found["over"]
    again = asks.post("/runs", json={"products": [], "by": "otto"})
    assert again.status_code == 409 and "the workspace is in use: a run by" in again.json()["error"]
    wrong = asks.post("/runs/stop", json={"pid": told["held"]["pid"] + 1, "by": "otto"})
    assert wrong.status_code == 409 and "now there is a run" in wrong.json()["error"]
    stop = asks.post("/runs/stop", json={"pid": told["held"]["pid"], "by": "otto"})
    assert stop.status_code == 200, stop.text
    told = until(asks, lambda told: told["begun"]["code"] is not None)
    assert told["run"]["state"] == "stopped" and told["run"]["stopped"] == "otto (board)"
    assert (told["begun"]["code"], told["begun"]["alive"], told["held"]) == (0, False, None)
    rest = asks.get("/runs/output", params={"at": found["next"]}).json()
    assert (rest["text"], rest["over"]) == ("stopped\n", True)
    gone = asks.post("/runs/stop", json={"pid": 1, "by": "otto"})
    assert gone.status_code == 409 and "no run is in progress" in gone.json()["error"]


def test_a_run_that_has_only_just_begun_is_not_begun_twice_and_can_be_stopped(made):
    def start(*_):
        return subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)

    runs = Runs(made, start)
    begun = runs.begin([], "anna")
    other = Runs(made, start)  # as of another board
    assert other.now()["alive"] and other.held() is None
    with pytest.raises(Refused, match=r"a run by anna has just begun"):
        other.begin([], "otto")
    other.stop("otto", begun["pid"])
    for _ in range(500):
        if not other.now()["alive"] and other.now()["code"]:
            break
        time.sleep(0.02)
    assert other.now()["code"] == -15


def test_a_change_by_hand_is_waited_for_and_not_stopped(made, asks):
    with run_lock(made):
        answer = asks.post("/runs", json={"products": [], "by": "anna"})
        assert answer.status_code == 409 and "a change by" in answer.json()["error"]
        told = asks.get("/progress").json()["held"]
        stop = asks.post("/runs/stop", json={"pid": told["pid"], "by": "anna"})
        assert stop.status_code == 409 and told["what"] == "change"


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/runs", {"products": ["tyle"], "by": "a"}, 404, "did you mean 'tile'?"),
        ("/runs", {"products": ["../x"], "by": "a"}, 404, "no product"),
        ("/runs", {"products": ["-p"], "by": "a"}, 404, "no product"),
        ("/runs", {"products": "tile", "by": "a"}, 422, "products"),
        ("/runs", {"products": ["tile"], "by": " "}, 422, "the name"),
        ("/runs", {"products": ["tile"], "by": "a", "x": 1}, 422, "x: extra"),
        ("/runs/stop", {"by": "a"}, 422, "pid: field required"),
        ("/runs/stop", {"by": "a", "pid": -1}, 422, "pid"),
    ],
)
def test_bad_requests_start_and_stop_nothing(asks, started, path, body, status, words):
    answer = asks.post(path, json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert started.all == []


@pytest.mark.parametrize("name", ["../../params", "x", "20260101T000000.000000", "%2e%2e"])
def test_no_other_file_is_shown_as_output(asks, name):
    assert asks.get("/runs/output", params={"name": name}).status_code == 404


def test_who_may_only_look_starts_and_stops_nothing(made, started):
    app = create_app(made, Access(key=KEY, users=Users(made).now), start=started)
    client = Client(app, "http://localhost", HERE)
    client.headers = {"Authorization": f"Bearer {Users(made).add('otto', 'look')}", **OURS}
    for path, body in (("/runs", {"products": []}), ("/runs/stop", {"pid": 1})):
        answer = client.post(path, json=body)
        assert answer.status_code == 403 and "needs the role label" in answer.json()["error"]
    assert started.all == []


def test_output_comes_in_whole_lines_and_parts(made):
    class Ended:
        pid = 2**22 + 1

        def wait(self):
            return 3

    def start(products, by, log):
        log.write("äöü\n".encode() * 20_000)
        return Ended()

    runs = Runs(made, start)
    runs.begin([], "anna")
    last = runs.output(None, None)
    assert last["over"] and last["text"].startswith("äöü\n") and len(last["text"]) > PART // 10
    text, at, over = "", 0, False
    while not over:
        part = runs.output(None, at)
        assert len(part["text"].encode()) <= PART and part["text"].endswith("äöü\n")
        text, at, over = text + part["text"], part["next"], part["over"]
    assert text == "äöü\n" * 20_000
    assert runs.output(None, 1 << 40)["text"] == ""
