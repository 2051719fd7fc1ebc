"""The newest records are followed line by line, whatever is torn, and each is read once."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.documents.prediction import Prediction
from tasks.monitoring import tail
from tasks.monitoring.log import PredictionLog
from tasks.monitoring.tail import LogTail

NOW = datetime(2026, 5, 4, 0, 20, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    return PredictionLog(tmp_path, "cap")


def add(log, ago, decision="good", part=None):
    time = (NOW - timedelta(minutes=ago)).isoformat(timespec="milliseconds")
    log.add(Prediction(time=time, decision=decision, part=part))


def parts(found):
    return [one.part for one in found.records]


def test_the_newest_come_first_and_the_last_hour_is_counted_across_midnight(log, tmp_path):
    for ago, decision in ((90, "defect"), (50, "review"), (25, "good"), (2, "good")):
        add(log, ago, decision, f"p{ago}")
    follow = LogTail(tmp_path, "cap")
    found = follow.newest(NOW)
    assert parts(found) == ["p2", "p25", "p50", "p90"]
    assert found.hour == {"review": 1, "good": 2}
    add(log, 0, "defect", "p0")
    assert parts(follow.newest(NOW))[0] == "p0"
    assert follow.newest(NOW + timedelta(minutes=15)).hour == {"good": 2, "defect": 1}


def test_a_torn_line_is_left_out_and_one_being_written_waits(log, tmp_path):
    add(log, 3, part="a")
    file = next((tmp_path / "cap").iterdir())
    follow = LogTail(tmp_path, "cap")
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"half": \n' + whole[:20])
    assert parts(follow.newest(NOW)) == ["a"]
    file.write_bytes(whole + b'{"half": \n' + whole)
    assert parts(follow.newest(NOW)) == ["a", "a"]
    file.write_bytes(whole)  # another file of this name
    assert parts(follow.newest(NOW)) == ["a", "a", "a"]


def test_of_a_long_log_the_end_is_read(log, tmp_path, monkeypatch):
    for number in range(10):
        add(log, 10 - number, part=f"p{number}")
    size = next((tmp_path / "cap").iterdir()).stat().st_size
    monkeypatch.setattr(tail, "MOST", size // 3)
    follow = LogTail(tmp_path, "cap")
    assert parts(follow.newest(NOW)) == ["p9", "p8", "p7"][: len(follow.newest(NOW).records)]
    assert 1 <= len(follow.newest(NOW).records) <= 3


def test_without_a_log_there_is_nothing(tmp_path):
    assert LogTail(tmp_path, "cap").newest(NOW) == ([], {})
