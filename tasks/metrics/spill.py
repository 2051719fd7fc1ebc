"""Any number of scores in bounded memory: full blocks are counted, or stored on disk until then."""

from collections.abc import Callable, Iterable
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any, NamedTuple

import numpy as np

from tasks.metrics.ranking import Floats
from tasks.workspace.errors import DataError

Count = Callable[[Floats], None]
Visit = Callable[[int, Floats], None]


class Part(NamedTuple):
    """The scores of one image in a block."""

    image: int
    start: int
    stop: int


class Spilled(NamedTuple):
    """A block in the temporary file."""

    offset: int  # bytes
    size: int
    dtype: np.dtype[Any]
    parts: tuple[Part, ...]


class Background:
    """A collection of scores that is filled with `add` and counted once, in blocks.

    block: number of scores in memory; by_image: blocks keep images separate until they are counted.
    Before `count` they wait in a temporary file. It has no name, so it disappears on close, on
    garbage collection, or when the process dies.
    """

    def __init__(self, block: int, by_image: bool = False) -> None:
        self.block = block
        self.by_image = by_image
        self.buffer: Floats = np.empty(0, np.float32)
        self.filled = 0
        self.parts: list[Part] = []  # of the buffer
        self.file: IO[bytes] | None = None
        self.spilled: list[Spilled] = []
        self.counter: tuple[Count, Visit | None] | None = None

    def add(self, scores: Floats, image: int = 0) -> None:
        """Add scores (N,) of one image."""
        while scores.size:
            if self.filled == self.buffer.size or scores.dtype != self.buffer.dtype:
                self.flush() if self.counter else self._spill()
                self._empty_buffer(scores.dtype)
            part = scores[: self.block - self.filled]
            start, self.filled = self.filled, self.filled + part.size
            self.buffer[start : self.filled] = part
            if self.by_image:
                self.parts.append(Part(image, start, self.filled))
            scores = scores[part.size :]

    def count(self, block: Count, visit: Visit | None = None) -> None:
        """Give `block` all scores in blocks: those so far now, later ones as soon as a block is
        full. `visit` first gets the part of each image."""
        self.counter = block, visit
        self.flush()
        for offset, size, dtype, parts in self.spilled:
            stored = np.memmap(self.file, dtype, "r", offset, (size,))  # type: ignore[call-overload]
            self._give(np.array(stored), parts)
        self.close()

    def flush(self) -> None:
        """Count what waits in memory."""
        self._give(self.buffer[: self.filled], self.parts)
        self.parts, self.filled = [], 0

    def close(self) -> None:
        """Delete all scores and the temporary file."""
        if self.file is not None:
            self.file.close()
        self.file, self.spilled, self.parts, self.filled = None, [], [], 0
        self.buffer = np.empty(0, np.float32)

    def __del__(self) -> None:
        self.close()

    def _give(self, scores: Floats, parts: Iterable[Part]) -> None:
        if self.counter is None:
            raise RuntimeError("nobody counts yet; call count first")
        block, visit = self.counter
        if visit:
            for image, start, stop in parts:
                visit(image, scores[start:stop])
        block(scores)

    def _empty_buffer(self, dtype: np.dtype[Any]) -> None:
        if self.buffer.size != self.block or self.buffer.dtype != dtype:
            self.buffer = np.empty(self.block, dtype)
        self.filled = 0
        self.parts = []

    def _spill(self) -> None:
        if not self.filled:
            return
        current = self.buffer[: self.filled]
        try:
            if self.file is None:
                self.file = TemporaryFile(prefix="background-")  # noqa: SIM115 - until close
            place = self.file.tell()
            self.spilled.append(Spilled(place, self.filled, current.dtype, tuple(self.parts)))
            self.file.write(current.data)
            self.file.flush()
        except OSError as error:
            raise DataError(
                f"cannot write scores to {gettempdir()} ({error.strerror}); free some space there "
                "or point TMPDIR to a larger disk"
            ) from error
