"""Score images of many requests together.

One thread runs the models, since torch and ONNX Runtime already use every core for one batch. It
takes all waiting requests and never waits for more: a single request is answered at once; under
load, batches form automatically.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from tasks.models.inspector import Inspection, Prepared
from tasks.models.release_model import ReleaseModel
from tasks.models.served import Champion

# If a score is within this share of a threshold, the image is scored again alone: the batch size
# changes the last digits, and the decision must be the same as that of `predict`.
NEAR = 1e-3


@dataclass(eq=False)  # each is itself
class Job:
    by: Champion  # that the image was prepared for
    image: Prepared
    future: "Future[Inspection]" = field(default_factory=Future)


class Batches:
    """Call `submit` from any thread; `close` first answers the waiting requests."""

    def __init__(self, most: int, observe: Callable[[int], None] = lambda images: None) -> None:
        """most: images in one batch; observe: called with the size of each batch."""
        self.most = most
        self.observe = observe
        self._jobs: deque[Job] = deque()
        self._ready = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="batches", daemon=True)
        self._thread.start()

    def submit(self, by: Champion, image: Prepared) -> "Future[Inspection]":
        job = Job(by, image)
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
            self.observe(len(jobs))
            _answer(jobs)

    def _take(self) -> list[Job]:
        """The oldest job and the next jobs of its champion; empty at the end."""
        with self._ready:
            self._ready.wait_for(lambda: self._jobs or not self._open)
            if not self._jobs:
                return []
            by = self._jobs[0].by
            taken = [job for job in self._jobs if job.by is by][: self.most]
            for job in taken:
                self._jobs.remove(job)
        return [job for job in taken if job.future.set_running_or_notify_cancel()] or self._take()


def _answer(jobs: list[Job]) -> None:
    """Answer each job. One that fails does not affect the others, nor the thread: a library in
    another language may raise what is no Exception."""
    try:
        found = inspect_together(jobs[0].by.model, [job.image for job in jobs])
    except BaseException as error:
        if len(jobs) == 1:
            known = isinstance(error, Exception)
            jobs[0].future.set_exception(error if known else RuntimeError(repr(error)))
            return
        for job in jobs:
            _answer([job])
        return
    for job, one in zip(jobs, found, strict=True):
        job.future.set_result(one)


def inspect_together(model: ReleaseModel, images: list[Prepared]) -> list[Inspection]:
    """Score all images in one batch, and again alone if a score is near a threshold."""
    found = model.inspector.inspect_prepared(images)
    if len(images) == 1:
        return found
    return [
        model.inspector.inspect_prepared([image])[0] if near_limit(model, one.score) else one
        for image, one in zip(images, found, strict=True)
    ]


def near_limit(model: ReleaseModel, score: float) -> bool:
    """Whether the last digits could change the decision."""
    return any(abs(score - limit) <= NEAR * max(abs(limit), 1e-12) for limit in model.limits)
