"""The log of predictions keeps every whole line."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np

from tasks.documents.prediction import Prediction
from tasks.images.decode import Picture
from tasks.monitoring.log import PredictionLog, read_log, record_of

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
VERDICT = {
    "score": 1.5,
    "threshold": 1.0,
    "accept": 1.0,
    "decision": "defect",
    "displayed": 150.0,
    "regions": [{}, {}],
}


def at(hours, **more):
    time = (NOW - timedelta(hours=hours)).isoformat(timespec="milliseconds")
    return Prediction(time=time, score=float(hours), **more)


def scores(folder, days=7):
    return [one.score for one in read_log(folder, "cap", days, NOW)]


def test_a_record_says_what_was_decided_and_how_the_image_looked():
    picture = Picture(np.full((4, 6, 1), 51, np.uint8), "PNG")
    found = record_of(picture, VERDICT, "abc", None)
    assert found.release == "abc" and found.decision == "defect" and found.regions == 2
    assert (found.width, found.height, found.sharpness) == (6, 4, 0.0)
    assert abs(found.brightness - 0.2) < 1e-6
    assert datetime.fromisoformat(found.time).tzinfo == UTC


def test_records_lie_by_day_and_are_read_within_a_window(tmp_path):
    log = PredictionLog(tmp_path, "cap")
    for hours in (100, 30, 20, 1):
        log.add(at(hours))
    names = sorted(path.name for path in (tmp_path / "cap").iterdir())
    assert names == ["2026-04-30.jsonl", "2026-05-03.jsonl", "2026-05-04.jsonl"]
    assert scores(tmp_path) == [100, 30, 20, 1]
    assert scores(tmp_path, days=1) == [20, 1]
    assert list(read_log(tmp_path, "other", 7, NOW)) == []


def test_a_torn_line_is_skipped_and_spoils_no_other(tmp_path):
    log = PredictionLog(tmp_path, "cap")
    log.add(at(2))
    [path] = (tmp_path / "cap").iterdir()
    with path.open("a") as file:
        file.write('{"time": "2026-05-04T1')
    log.add(at(1))
    assert scores(tmp_path) == [2, 1]


def test_a_line_of_another_form_is_skipped_and_an_older_one_is_read(tmp_path):
    log = PredictionLog(tmp_path, "cap")
    log.add(at(2))
    [path] = (tmp_path / "cap").iterdir()
    time = at(1).time
    with path.open("a") as file:
        for line in ([1], {"score": 1.0}, {"time": time, "score": "high"}, {"time": 7}):
            file.write(json.dumps(line) + "\n")
        file.write(json.dumps({"time": time, "score": 5.0, "colour": "red"}) + "\n")
    assert scores(tmp_path) == [2, 5]


WRITER = """
import sys
from pathlib import Path
from tasks.documents.prediction import Prediction
from tasks.monitoring.log import PredictionLog
log = PredictionLog(Path(sys.argv[1]), "cap")
print("ready", flush=True)
while True:
    log.add(Prediction(time="2026-05-04T11:00:00.000+00:00", score=1.0, image="x" * 5000))
"""


def test_two_writers_that_are_killed_leave_whole_lines(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for one in writers:
        one.stdout.readline()
    path = tmp_path / "cap" / "2026-05-04.jsonl"
    while not path.exists() or path.stat().st_size < 500_000:
        time.sleep(0.02)
    for one in writers:
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        one.stdout.close()
    lines = path.read_text().splitlines()
    assert len(lines) >= 90 and "" not in lines
    assert len(lines) - 2 <= len(scores(tmp_path)) <= len(lines)  # each kill may tear one
