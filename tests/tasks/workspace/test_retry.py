"""What is away is waited for, what refuses is not."""

import pytest

from tasks.workspace import retry
from tasks.workspace.errors import AwayError, ConflictError, StoreError


class Door:
    """Raises these errors, one a call, then opens."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "open"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Seconds slept, which pass at once."""
    clock = [0.0]
    monkeypatch.setattr(retry.time, "sleep", clock.append)
    monkeypatch.setattr(retry.time, "monotonic", lambda: sum(clock))
    return clock


def test_what_comes_back_is_waited_for_and_said_once(pauses):
    said = []
    door = Door(*[AwayError("nobody answers")] * 6)
    assert retry.patiently(door, 100.0, said.append) == "open"
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert said == ["nobody answers; trying again for 100 s"]


def test_patience_ends(pauses):
    with pytest.raises(AwayError):
        retry.patiently(Door(*[AwayError("gone")] * 99), 20.0)
    assert sum(pauses) <= 20.0


@pytest.mark.parametrize("error", [StoreError("refused"), ConflictError("changed")])
def test_a_refusal_is_final(error):
    door = Door(error)
    with pytest.raises(StoreError):
        retry.patiently(door, 100.0)
    assert door.calls == 1
