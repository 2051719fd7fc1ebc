"""When files are whole, and when enough of them have gathered. The caller brings the clock."""

from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tasks.arrival.watched import Listing, Stamp


@dataclass
class Waiting:
    """Files of one source that were not taken yet."""

    settle: float  # seconds without a change after which a file is whole
    gather: float  # seconds without news after which what came is taken
    at_most: float  # seconds that the first of them waits
    _seen: dict[PurePosixPath, tuple[Stamp, float, float]] = field(default_factory=dict)

    def look(self, listing: Listing, taken: Listing, now: float) -> None:
        """Note what is new and what changed."""
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
        """Those that have stopped changing."""
        return {p for p, (_, _, changed) in self._seen.items() if now - changed >= self.settle}

    def due(self, now: float) -> bool:
        """Whether it is time to take what is whole."""
        if not self._seen:
            return False
        quiet = now - max(changed for _, _, changed in self._seen.values())
        waited = now - min(first for _, first, _ in self._seen.values())
        return quiet >= max(self.gather, self.settle) or waited >= self.at_most
