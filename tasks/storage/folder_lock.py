"""A lock file that says who holds it, for folders that several processes or machines share."""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

POLL = 0.01  # seconds


@contextmanager
def exclusive(lock: Path, stale_after: float = 10.0) -> Iterator[Callable[[], bool]]:
    """Hold `lock`; gives a function that tells whether it is still ours.

    stale_after: seconds after which a lock of an owner we cannot ask (another machine, a process
    that hangs) is broken. Waiters time it themselves, so clocks need not agree.
    """
    owner = _owner()
    _acquire(lock, owner, stale_after)
    try:
        yield lambda: _read(lock) == owner
    finally:
        if _read(lock) == owner:
            lock.unlink(missing_ok=True)


def _owner() -> str:
    names = {"pid": os.getpid(), "host": socket.gethostname(), "token": uuid.uuid4().hex}
    return json.dumps({**names, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})


def _acquire(lock: Path, owner: str, stale_after: float) -> None:
    seen, since = "", time.monotonic()
    while not _create(lock, owner):
        current = _read(lock)
        if current != seen:
            seen, since = current, time.monotonic()
        if _dead(current) or time.monotonic() - since > stale_after:
            _break(lock, current)
        else:
            time.sleep(POLL)


def _create(lock: Path, owner: str) -> bool:
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(owner)
    except OSError:
        lock.unlink(missing_ok=True)
        raise
    return True


def _read(lock: Path) -> str:
    try:
        return lock.read_text()
    except FileNotFoundError:
        return ""


def _dead(owner: str) -> bool:
    try:
        names = json.loads(owner)
    except ValueError:  # being written right now
        return False
    # on Windows os.kill would end the process instead of asking for it
    if os.name != "posix" or names["host"] != socket.gethostname():
        return False
    try:
        os.kill(names["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _break(lock: Path, owner: str) -> None:
    aside = lock.with_name(f".{uuid.uuid4().hex}.lock")
    with suppress(FileNotFoundError):
        os.rename(lock, aside)
        if _read(aside) != owner:  # somebody was quicker and this is their fresh lock
            with suppress(FileExistsError):
                os.link(aside, lock)
        aside.unlink()
