"""The outbox and the sinks that a workspace or a command names."""

from collections.abc import Sequence
from pathlib import Path

from tasks.sinks.delivery import Deliveries
from tasks.sinks.outbox import Outbox
from tasks.sinks.sink import folder_of, is_folder, name_of, open_sink
from tasks.spec.schema import Sink as SinkSpec


def open_deliveries(specs: Sequence[SinkSpec], outbox: Path) -> Deliveries:
    """What sends to the sinks that are reached over a network; it has not begun."""
    sinks = {name_of(spec): open_sink(spec) for spec in specs if not is_folder(spec)}
    return Deliveries(Outbox(outbox), sinks)


def sorted_folders(specs: Sequence[SinkSpec], root: Path) -> list[Path]:
    """Folders into which images are sorted; relative ones begin at `root`."""
    return [folder_of(spec, root) for spec in specs if is_folder(spec)]
