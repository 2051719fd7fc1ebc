"""When files are complete, and when enough of them have arrived. The caller gives the time."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tasks.arrival.watched import Listing, Stamp


@dataclass
class Waiting:
    """Files of one source that are not ingested yet."""

    settle: float  # seconds without a change after which a file is complete
    gather: float  # seconds without a new file after which the files are ingested
    at_most: float  # longest time in seconds that the first file waits
    _seen: dict[PurePosixPath, tuple[Stamp, float, float]] = field(default_factory=dict)

    def update(self, listing: Listing, taken: Listing, now: float) -> None:
        """Record which files are new and which have changed."""
        before, self._seen = self._seen, {}
        for path, stamp in listing.items():
            if taken.get(path) == stamp:
                continue
            known = before.get(path)
            first = known[1] if known else now
            changed = known[2] if known and known[0] == stamp else now
            self._seen[path] = stamp, first, changed

    @property
    def new(self) -> set[PurePosixPath]:
        return set(self._seen)

    def whole(self, now: float) -> set[PurePosixPath]:
        """Files that have stopped changing."""
        return {p for p, (_, _, changed) in self._seen.items() if now - changed >= self.settle}

    def due(self, now: float) -> bool:
        """Whether it is time to ingest the complete files."""
        if not self._seen:
            return False
        quiet = now - max(changed for _, _, changed in self._seen.values())
        waited = now - min(first for _, first, _ in self._seen.values())
        return quiet >= max(self.gather, self.settle) or waited >= self.at_most
