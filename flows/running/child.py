"""The code of the new process: do one job, send its progress and outcome to the parent."""

import contextlib
import errno
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tasks.workspace.errors import CellError, LineError, MachineError
from tasks.workspace.files import disk_full
from tasks.workspace.paths import Workspace
from tasks.workspace.secrets import without_secrets

WITHOUT_PARENT = 10.0  # seconds that a step may go on after its run has ended


class Messenger:
    """The listener of a step: it sends all reports to the parent.

    It stops the step when the parent asks for it or has ended.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.stop = False
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the parent gets it too, and decides
        signal.signal(signal.SIGTERM, self._ask)
        # the server that forked this process blocks them
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
        threading.Thread(target=self._end_with_parent, daemon=True).start()

    def _ask(self, *_: Any) -> None:
        self.stop = True

    def _end_with_parent(self) -> None:
        """End soon after the parent has ended: the next run may need the same files."""
        with contextlib.suppress(OSError, EOFError):
            self.connection.recv()  # the parent sends nothing: this ends with it
        self.stop = True
        time.sleep(WITHOUT_PARENT)
        os._exit(1)

    def should_stop(self) -> bool:
        return self.stop

    def say(self, text: str) -> None:
        print(text, flush=True)  # into the log
        with contextlib.suppress(OSError):
            self.connection.send(("text", text))

    def report(self, stage: str, fraction: float, **metrics: float) -> None:
        from ad_models.errors import Cancelled

        if self.stop:
            raise Cancelled(f"stopped in {stage}")
        with contextlib.suppress(
            OSError
        ):  # the parent has ended: `_end_with_parent` ends this process
            self.connection.send(("progress", ((stage, fraction), metrics)))


@dataclass(frozen=True)
class Job:
    """What a process does: `function`, as `module:name`, with the workspace and the arguments."""

    function: str
    workspace: Workspace
    arguments: tuple[Any, ...]
    log: Path  # takes its output
    device: str | None = None
    threads: int = 0  # of torch; 0: as many as there are cores, or OMP_NUM_THREADS
    listener: bool = False  # whether it tells its progress: the last argument is a Messenger
    # the server that forks the process may have started under other settings
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)


def work(connection: Connection, job: Job) -> None:
    """Do the job with its output in its log, and send what it returns or how it failed."""
    from ad_models.errors import AnomalyError, Cancelled

    with job.log.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(job.environment)
    if job.device:
        os.environ["INSPECTLINE_DEVICE"] = job.device
    messenger = Messenger(connection)
    try:
        _limit(job.threads)
        os.chdir(job.workspace.root)  # where the paths in specs begin
        module, name = job.function.split(":")
        function = getattr(importlib.import_module(module), name)
        told = (messenger,) if job.listener else ()
        outcome = ("done", function(job.workspace, *job.arguments, *told))
    except Cancelled as error:
        outcome = ("stopped", str(error))
    except LineError as error:
        outcome = (type(error).__name__, str(error))
    except AnomalyError as error:
        outcome = (LineError.__name__, str(error))
    except MemoryError:
        outcome = (CellError.__name__, "out of memory")
    except Exception as error:
        outcome = _crash(error, job.log)
    with contextlib.suppress(OSError):  # the parent has ended
        connection.send(outcome)


def _crash(error: Exception, log: Path) -> tuple[str, str]:
    full = disk_full(error) or (isinstance(error, OSError) and error.errno == errno.EROFS)
    if isinstance(error, OSError) and full:  # the same again would end the same
        where = f" ({error.filename})" if error.filename else ""
        return MachineError.__name__, f"{error.strerror}{where}; make room, then run again"
    with contextlib.suppress(OSError):
        print(without_secrets(traceback.format_exc()), file=sys.stderr)
    last = without_secrets(traceback.format_exc()).strip().splitlines()[-1]
    return CellError.__name__, f"{last}; see {log}"


def _limit(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
