"""What is in the outbox is sent once, in order, also after a kill and a time without a receiver."""

import json
import logging
import sqlite3
import threading
import time

import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.sinks.delivery import Deliveries
from tasks.sinks.outbox import Outbox, RefusedError, Taken
from tasks.workspace.errors import AwayError, BusyError
from tests.tasks.sinks.results import result


class Receiver:
    """A sink in memory that can be away."""

    def __init__(self):
        self.got, self.away, self.closed = [], False, 0

    def send(self, messages):
        if self.away:
            raise AwayError("nobody is there")
        self.got += [one.body["part"] for one in messages[:2]]
        return messages[:2]

    def close(self):
        self.closed += 1


def until(true, seconds=10):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.sqlite"


def test_what_was_acknowledged_is_not_sent_again(path):
    receiver = Receiver()
    for _ in range(2):  # as after a restart, where the same parts come again
        deliveries = Deliveries(Outbox(path), {"there": receiver})
        deliveries.start()
        for number in range(5):
            deliveries.add(result(str(number)))
        until(lambda now=deliveries: not now.waiting["there"])
        deliveries.close()
    assert receiver.got == ["0", "1", "2", "3", "4"]


def test_results_wait_for_a_receiver_that_is_away(path, monkeypatch, caplog):
    monkeypatch.setattr("tasks.sinks.delivery.SHORTEST", 0.01)
    receiver = Receiver()
    receiver.away = True
    deliveries = Deliveries(Outbox(path), {"there": receiver})
    with caplog.at_level(logging.WARNING):
        deliveries.start()
        deliveries.add(result("a"))
        until(lambda: receiver.closed > 2)
        assert deliveries.waiting == {"there": 1}
        receiver.away = False
        until(lambda: receiver.got == ["a"])
        deliveries.close()
    told = [one.getMessage() for one in caplog.records]
    assert told == ["there: results wait: nobody is there", "there takes results again"]


class Picky(Receiver):
    """Refuses a part for good, until it has changed its mind."""

    def send(self, messages):
        for at, one in enumerate(messages):
            if one.body["part"] == "bad" and not self.away:
                self.got += [two.body["part"] for two in messages[:at]]
                raise RefusedError("it answers 422", one, messages[:at])
        self.got += [one.body["part"] for one in messages]
        return messages


def test_what_is_refused_holds_nothing_up_and_is_kept(path, monkeypatch, caplog):
    monkeypatch.setattr("tasks.sinks.delivery.LOOK", 0.05)
    monkeypatch.setattr("tasks.sinks.outbox.KEPT", -1.0)
    receiver = Picky()
    deliveries = Deliveries(Outbox(path), {"there": receiver})
    for part in ("a", "bad", "b"):
        deliveries.add(result(part))
    with caplog.at_level(logging.WARNING):
        deliveries.start()
        until(lambda: receiver.got == ["a", "b"])
        until(lambda: deliveries.refused == {"there": 1} and deliveries.waiting == {"there": 0})
        deliveries.add(result("bad"))  # the same inspection again
        assert deliveries.waiting == {"there": 0}
    assert caplog.messages == ["there refuses part bad: it answers 422; it is kept"]
    shown = CliRunner().invoke(main, ["sinks", "--outbox", str(path)]).output
    assert f"{path}: there: 0 wait, 1 refused\n  plate bad (defect): it answers 422" in shown
    receiver.away = True  # it would take it now
    again = CliRunner().invoke(main, ["sinks", "--outbox", str(path), "--retry"]).output
    assert "1 results are sent once more" in again
    until(lambda: receiver.got == ["a", "b", "bad"])  # by the process that was at work all the time
    receiver.away = False
    deliveries.add(result("bad", "good").model_copy(update={"sha256": "1" * 64}))
    until(lambda: deliveries.refused == {"there": 1})
    deliveries.close()
    elsewhere = ["sinks", "--outbox", str(path), "--sink", "other", "--drop"]
    assert CliRunner().invoke(main, elsewhere).output == ""
    dropped = CliRunner().invoke(main, ["sinks", "--outbox", str(path), "--drop"]).output
    assert json.loads(dropped)["result"]["part"] == "bad"
    shown = CliRunner().invoke(main, ["sinks", "--outbox", str(path)]).output
    assert "1 refused" not in shown
    missing = CliRunner().invoke(main, ["sinks", "--outbox", f"{path}.no"])
    assert missing.exit_code == 1 and "no such outbox" in missing.output


def test_an_outbox_of_before_has_its_results(path):
    base = sqlite3.connect(path)
    base.executescript(
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, sink TEXT NOT NULL, key TEXT NOT NULL,"
        "body TEXT NOT NULL, sent REAL, UNIQUE (sink, key));"
        "CREATE INDEX unsent ON messages (sink, id) WHERE sent IS NULL;"
        """INSERT INTO messages (sink, key, body) VALUES ('there', 'k', '{"part": "a"}');"""
    )
    base.close()
    outbox = Outbox(path)
    assert [one.body for one in outbox.waiting("there", 9)] == [{"part": "a"}]
    outbox.refuse(outbox.waiting("there", 9)[0], "no")
    assert outbox.waiting("there", 9) == []
    outbox.close()


def test_an_entry_is_on_disk_with_the_file_that_it_is_of(path):
    outbox = Outbox(path)
    outbox.add("key", {"part": "a"}, ["there"], Taken("cam", "1.png", "5 7"))
    del outbox._base  # as killed: nothing is closed
    outbox._lock.release()
    again = Outbox(path)
    assert again.taken("cam") == {"1.png": "5 7"}
    assert [one.body for one in again.waiting("there", 9)] == [{"part": "a"}]
    again.close()


def test_one_process_holds_an_outbox(path):
    outbox = Outbox(path)
    with pytest.raises(BusyError, match="--outbox"):
        Outbox(path)
    outbox.close()
    Outbox(path).close()


def test_what_was_sent_long_ago_is_forgotten(path, monkeypatch):
    monkeypatch.setattr("tasks.sinks.outbox.KEPT", -1.0)
    outbox = Outbox(path)
    outbox.add("old", {}, ["there"], Taken("cam", "gone.png", "1 1"))
    outbox.add("new", {}, ["there"], Taken("cam", "there.png", "1 1"))
    outbox.done(outbox.waiting("there", 1))
    outbox.forget("cam", ["there.png"])
    assert list(outbox.taken("cam")) == ["there.png"]
    outbox.close()
    again = Outbox(path)
    assert [one.key for one in again.waiting("there", 9)] == ["new"]  # what waits is kept
    again.close()


def test_what_was_sent_long_ago_is_forgotten_while_it_runs(path, monkeypatch):
    monkeypatch.setattr("tasks.sinks.outbox.KEPT", -1.0)
    monkeypatch.setattr("tasks.sinks.outbox.TIDY", 0.0)
    outbox = Outbox(path)
    outbox.add("old", {}, ["there"])
    outbox.done(outbox.waiting("there", 1))
    assert outbox._base.execute("SELECT COUNT(*) FROM messages").fetchone() == (0,)
    outbox.close()


def test_threads_may_add_at_once(path):
    outbox = Outbox(path)
    threads = [
        threading.Thread(target=lambda n=n: outbox.add(f"{n}", {}, ["there"])) for n in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert outbox.counts() == {"there": 8}
    outbox.close()
