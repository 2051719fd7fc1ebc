"""Time left, by the pace of the part that runs."""

import pytest

from flows.running.progress import Terminal
from tasks.workspace.listener import Remaining


@pytest.fixture
def clock(monkeypatch):
    """Set the time."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_it_is_what_the_pace_says(clock):
    left = Remaining()
    assert left.after(0.0) == ""
    clock[0] += 5
    assert left.after(0.1) == ""  # too soon
    clock[0] += 25
    assert left.after(0.25) == "0:01:30 left"


def test_a_part_that_was_resumed_counts_from_where_it_began(clock):
    left = Remaining()
    left.after(0.5)
    clock[0] += 60
    assert left.after(0.6) == "0:04:00 left"


def test_another_part_has_a_pace_of_its_own(clock):
    left = Remaining()
    left.after(0.0)
    clock[0] += 20
    left.after(1.0)
    assert left.after(0.01) == ""
    clock[0] += 99
    assert left.after(0.5) != "" and left.after(1.0) == "0:00:00 left"


def test_no_progress_is_no_pace(clock):
    left = Remaining()
    left.after(0.0)
    clock[0] += 3600
    assert left.after(0.0) == ""


def test_lines_of_a_run_end_with_it(clock, capsys):
    with Terminal(1) as terminal:
        terminal.start("fit cap vae")
        terminal.update("fit cap vae", "learn 1/2", 0.0, {})
        clock[0] += 60
        terminal.update("fit cap vae", "learn 1/2", 0.2, {"loss": 3.0})
    assert "fit cap vae: 20% learn 1/2 loss 3 0:04:00 left" in capsys.readouterr().err
