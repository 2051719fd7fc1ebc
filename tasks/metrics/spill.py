"""Any number of scores in bounded memory: full blocks are stored on disk until they are counted."""

from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile, gettempdir
from typing import IO, Any, NamedTuple

import numpy as np

from tasks.metrics.ranking import Floats
from tasks.workspace.errors import DataError

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
    """A collection of scores that is filled with `add` and read once with `blocks`.

    block: number of scores in memory; by_image: blocks keep images separate until they are read.
    The temporary file has no name, so it disappears on close, on garbage collection, or when the
    process dies.
    """

    def __init__(self, block: int, by_image: bool = False) -> None:
        self.block = block
        self.by_image = by_image
        self.buffer: Floats = np.empty(0, np.float32)
        self.filled = 0
        self.parts: list[Part] = []  # of the buffer
        self.file: IO[bytes] | None = None
        self.spilled: list[Spilled] = []

    def add(self, scores: Floats, image: int = 0) -> None:
        """Add scores (N,) of one image."""
        while scores.size:
            if self.filled == self.buffer.size or scores.dtype != self.buffer.dtype:
                self._spill()
                self._empty_buffer(scores.dtype)
            part = scores[: self.block - self.filled]
            start, self.filled = self.filled, self.filled + part.size
            self.buffer[start : self.filled] = part
            if self.by_image:
                self.parts.append(Part(image, start, self.filled))
            scores = scores[part.size :]

    def blocks(self, visit: Visit | None = None) -> Iterator[Floats]:
        """The scores in blocks; `visit` first gets the part of each image."""
        yield visited(self.buffer[: self.filled], self.parts, visit)
        self.buffer, self.filled = np.empty(0, np.float32), 0
        for offset, size, dtype, parts in self.spilled:
            stored = np.memmap(self.file, dtype, "r", offset, (size,))  # type: ignore[call-overload]
            yield visited(np.array(stored), parts, visit)

    def close(self) -> None:
        """Delete all scores and the temporary file."""
        if self.file is not None:
            self.file.close()
        self.file, self.spilled, self.parts, self.filled = None, [], [], 0
        self.buffer = np.empty(0, np.float32)

    def __del__(self) -> None:
        self.close()

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


def visited(block: Floats, parts: Iterable[Part], visit: Visit | None) -> Floats:
    """The block, after `visit` got its parts."""
    if visit:
        for image, start, stop in parts:
            visit(image, block[start:stop])
    return block
