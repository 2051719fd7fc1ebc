"""The newest records of a product's log, as they come in: only what is new is read."""

import threading
from collections import Counter, deque
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from tasks.documents.prediction import Prediction
from tasks.workspace.errors import DataError

LAST = 100  # records that are kept whole
COUNTED = timedelta(hours=1)
MOST = 8_000_000  # bytes of a file that are read at once; of more, the end


class Newest(NamedTuple):
    """The newest records, the latest first, and how many of the last hour have each verdict."""

    records: list[Prediction]
    hour: dict[str, int]


class LogTail:
    """Follows the log of one product. Thread-safe."""

    def __init__(self, folder: Path, product: str) -> None:
        self.folder = folder / product
        self._busy = threading.Lock()
        self._read: dict[Path, int] = {}  # bytes of each file that are done with
        self._last: deque[Prediction] = deque(maxlen=LAST)
        self._verdicts: deque[tuple[str, str]] = deque()  # time and verdict, of the last hour

    def newest(self, now: datetime) -> Newest:
        """What the log holds now. A line that is torn or being written is left out."""
        with self._busy:
            since = (now - COUNTED).isoformat(timespec="milliseconds")
            for path in sorted(self.folder.glob("*.jsonl"))[-2:]:  # midnight is within an hour
                with suppress(FileNotFoundError):  # it was moved away meanwhile
                    self._take(path, since)
            while self._verdicts and self._verdicts[0][0] < since:
                self._verdicts.popleft()
            hour = dict(Counter(verdict for _, verdict in self._verdicts))
            return Newest(list(self._last)[::-1], hour)

    def _take(self, path: Path, since: str) -> None:
        """Take up the whole lines that came since the last look."""
        size = path.stat().st_size
        begun = self._read.get(path, 0)
        begun = 0 if begun > size else begun  # another file of this name
        start = max(begun, size - MOST)
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(MOST)
        whole = data.rfind(b"\n") + 1
        lines = data[:whole].split(b"\n")[:-1]
        for line in lines[1:] if start > begun else lines:  # the first may be the rest of one
            self._add(line, path.name, since)
        self._read[path] = start + whole

    def _add(self, line: bytes, name: str, since: str) -> None:
        try:
            record = Prediction.parse(line, name)
        except DataError:  # torn
            return
        self._last.append(record)
        if record.time >= since:
            self._verdicts.append((record.time, record.decision))
