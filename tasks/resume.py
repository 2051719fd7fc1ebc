"""Fits that are stopped and go on: their checkpoints, and what they tell on the way."""

from collections.abc import Callable
from pathlib import Path

from ad_models import Progress
from tasks.command import Listener


def forget_others(checkpoint: Path) -> None:
    """Remove checkpoints of this cell that belong to other data, parameters or code."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    cell = checkpoint.name.split(".")[0]
    for other in checkpoint.parent.glob(f"{cell}.*"):
        if not other.name.startswith(checkpoint.stem):
            other.unlink()


def teller(listener: Listener) -> Callable[[Progress], None]:
    """Passes the progress of a fit on to `listener`."""

    def tell(progress: Progress) -> None:
        stage = f"{progress.stage} {progress.epoch}/{progress.epochs}"
        listener.report(stage, progress.fraction, **progress.metrics)

    return tell
