"""What a source offers: every image with its place in the layout and its mask, or a question."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tasks.arrival.entry import Drawing
from tasks.arrival.labels import MASK, SHAPE, SKIP
from tasks.arrival.safe_paths import printable
from tasks.images.layout import MASKS, layout_problem
from tasks.workspace.errors import DataError

ASKED = 8  # folders that a question names


@dataclass(frozen=True)
class Arrival:
    """An image of the source: its path there, its place `<split>/<label>/<name>`, and its mask if
    it has one, as a file or as a drawing of a file of annotations."""

    path: PurePosixPath
    place: PurePosixPath
    mask: PurePosixPath | None = None
    drawing: Drawing | None = None

    @property
    def files(self) -> set[PurePosixPath]:
        return {self.path, self.mask} if self.mask else {self.path}


@dataclass
class Offer:
    """All arrivals sorted by path, and (path, reason) of each file that is refused because of its
    place. waiting: the same of masks whose image may still come."""

    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[tuple[PurePosixPath, str]] = field(default_factory=list)
    skipped: list[PurePosixPath] = field(default_factory=list)  # as a person said
    waiting: list[tuple[PurePosixPath, str]] = field(default_factory=list)

    def refuse(self, path: PurePosixPath, reason: str) -> None:
        self.refused.append((path, reason))

    def take(self, path: PurePosixPath, split: str, label: str) -> None:
        """Add an image, or the reason why it is none."""
        place = PurePosixPath(split, label, path.name)
        if label == SKIP:
            self.skipped.append(path)
        elif label == MASK:
            self.refuse(path, f"lies among masks; put it into {MASKS}/<defect>")
        elif reason := layout_problem(place):
            self.refuse(path, reason)
        else:
            self.arrivals.append(Arrival(path, place))


def question(source: str, asked: "Counter[str]", why: str = "nothing tells which") -> DataError:
    """What to ask where folders may be labels. asked: images of each folder."""
    named = [f"{printable(name)} ({count})" for name, count in sorted(asked.items())]
    more = f" and {len(named) - ASKED} more" if len(named) > ASKED else ""
    example = printable(min(asked))
    return DataError(
        f"{source}: these folders may hold good images, defects or neither, and {why}: "
        f"{', '.join(named[:ASKED])}{more} (. is the source itself). Say it for each, for example "
        f"--labels 'good={example}'; the form is {SHAPE}. Nothing was taken"
    )
