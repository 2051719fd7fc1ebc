"""Tell a result to all who are configured: folders at once, the others by way of the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.documents.result import Result
from tasks.sinks.delivery import Deliveries
from tasks.sinks.outbox import Outbox, Taken
from tasks.sinks.sink import folder_of, is_folder, named, open_sink
from tasks.sinks.sorted_folder import sort_image
from tasks.spec.schema import Sink as SinkSpec


@dataclass
class Telling:
    """`start` begins to send, `close` ends after what is under way."""

    deliveries: Deliveries
    folders: list[Path] = field(default_factory=list)  # into which images are sorted

    def tell(
        self, result: Result, image: bytes, suffix: str = ".png", taken: Taken | None = None
    ) -> None:
        """On disk for each sink when this returns. suffix: of the image's file; taken: the file
        that it is of, where it is to be taken once."""
        for folder in self.folders:
            sort_image(folder, result, image, suffix)
        self.deliveries.add(result, taken)

    def start(self) -> None:
        self.deliveries.start()

    def close(self) -> None:
        self.deliveries.close()


def open_telling(specs: Sequence[SinkSpec], outbox: Path, root: Path) -> Telling:
    """What tells the sinks of `specs`. outbox: the file of what waits; root: where the path of a
    relative folder begins."""
    sinks = {
        name: open_sink(spec)
        for name, spec in named(spec for spec in specs if not is_folder(spec)).items()
    }
    folders = [folder_of(spec, root) for spec in specs if is_folder(spec)]
    return Telling(Deliveries(Outbox(outbox), sinks), folders)
