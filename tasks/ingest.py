"""Bring images from a folder, an archive or a bucket into a product, each exactly once."""

from collections.abc import Callable
from pathlib import Path

from tasks.arrival.intake import IngestReport, Intake
from tasks.arrival.known_images import KnownImages
from tasks.arrival.labels import Labels
from tasks.arrival.offer import Offer
from tasks.arrival.sorting import read_offer
from tasks.arrival.sources import scratch_folder, source_folder
from tasks.images.layout import image_files
from tasks.workspace.errors import DataError


def ingest(
    source: str | Path,
    images: Path,
    scratch: Path,
    report: Callable[[int, int], None] | None = None,
    labels: Labels | None = None,
    offer: Offer | None = None,
) -> IngestReport:
    """What became of each file of `source`, copied into `images` in MVTec AD layout.

    labels: what a person said of folders that may be labels; offer: the files of a source that are
    already sorted.

    Files appear whole or not at all, a mask before its image: after a crash the same call
    completes the work. `scratch` must be on the disk of `images`.
    """
    with scratch_folder(scratch) as temporary:
        folder, refused = source_folder(source, temporary)
        if refused and not any(image_files(folder)):
            raise DataError(f"{source}: {IngestReport(refused=refused).summary()}")
        offer = offer or read_offer(folder, str(source), labels)
        away = [(str(path), reason) for path, reason in offer.refused + offer.waiting]
        outcome = IngestReport(refused=[*refused, *away])
        intake = Intake(folder, KnownImages(images), temporary, outcome)
        for done, arrival in enumerate(offer.arrivals, 1):
            intake.take(arrival)
            if report:
                report(done, len(offer.arrivals))
    return outcome
