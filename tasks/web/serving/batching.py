"""Images of many requests, scored together.

One thread asks the models, since torch and ONNX Runtime use every core for one batch already.
It takes what waits and waits for nothing: alone, a request is answered as fast as it can be;
under load, batches form by themselves.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tasks.models.inspector import Inspection
from tasks.models.release_model import ReleaseModel
from tasks.web.serving.served import Champion, Served

# Share of a threshold within which a score of a batch is taken again alone: how many images are
# summed together moves the last digits, and a decision must be the one that `predict` takes.
NEAR = 1e-3


class Answer(NamedTuple):
    by: Champion
    found: Inspection


@dataclass(eq=False)  # each is itself
class Job:
    served: Served
    image: np.ndarray  # (H, W, C) in 0..1
    future: "Future[Answer]" = field(default_factory=Future)


class Batches:
    """`submit` from any thread; `close` lets those that wait be answered first."""

    def __init__(self, most: int, note: Callable[[int], None] = lambda images: None) -> None:
        """most: images of one batch; note: told of the size of each."""
        self.most = most
        self.note = note
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def submit(self, served: Served, image: np.ndarray) -> "Future[Answer]":
        job = Job(served, image)
        with self._ready:
            self._jobs.append(job)
            self._ready.notify()
        return job.future

    def close(self) -> None:
        with self._ready:
            self._open = False
            self._ready.notify()
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._take():
            self.note(len(jobs))
            _answer(jobs)

    def _take(self) -> list[Job]:
        """The oldest job, and those of its product that came next; empty at the end."""
        with self._ready:
            self._ready.wait_for(lambda: self._jobs or not self._open)
            if not self._jobs:
                return []
            served = self._jobs[0].served
            taken = [job for job in self._jobs if job.served is served][: self.most]
            for job in taken:
                self._jobs.remove(job)
        return [job for job in taken if job.future.set_running_or_notify_cancel()] or self._take()


def _answer(jobs: list[Job]) -> None:
    """Answer each job by the champion of this moment; one that fails fails alone."""
    by = jobs[0].served.champion
    try:
        found = inspect_together(by.model, [job.image for job in jobs])
    except Exception as error:
        if len(jobs) == 1:
            jobs[0].future.set_exception(error)
            return
        for job in jobs:
            _answer([job])
        return
    for job, one in zip(jobs, found, strict=True):
        job.future.set_result(Answer(by, one))


def inspect_together(model: ReleaseModel, images: list[np.ndarray]) -> list[Inspection]:
    """Every image scored in one batch, and alone where its score is near a threshold."""
    found = model.inspector.inspect_all(images)
    if len(images) == 1:
        return found
    return [
        model.inspector.inspect(image) if near_limit(model, one.score) else one
        for image, one in zip(images, found, strict=True)
    ]


def near_limit(model: ReleaseModel, score: float) -> bool:
    """Whether the last digits could decide."""
    return any(abs(score - limit) <= NEAR * max(abs(limit), 1e-12) for limit in model.limits)
