"""Bring images from a folder, an archive or a bucket into a product, each exactly once."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from tasks.arrival.arrivals import offer_of
from tasks.arrival.intake import IngestReport, Intake
from tasks.arrival.shelf import Shelf
from tasks.arrival.sources import folder_of, room_in
from tasks.checks.layout import image_files
from tasks.errors import DataError

__all__ = ["IngestReport", "check_product_name", "ingest"]

LONGEST = 64  # characters of a product's name
ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
RESERVED = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9]", re.IGNORECASE)  # by Windows


def ingest(
    source: str | Path,
    images: Path,
    scratch: Path,
    report: Callable[[int, int], None] | None = None,
) -> IngestReport:
    """What became of each file of `source`, copied into `images` in MVTec AD layout.

    Files appear whole or not at all, a mask before its image: after a crash the same call
    completes the work. `scratch` must be on the disk of `images`.
    """
    with room_in(scratch) as room:
        folder, refused = folder_of(source, room)
        if refused and not any(image_files(folder)):
            raise DataError(f"{source}: {IngestReport(refused=refused).summary()}")
        offer = offer_of(folder, str(source))
        outcome = IngestReport(refused=[*refused, *offer.refused])
        intake = Intake(folder, Shelf(images), room, outcome)
        for done, arrival in enumerate(offer.arrivals, 1):
            intake.take(arrival)
            if report:
                report(done, len(offer.arrivals))
    return outcome


def check_product_name(name: str) -> str:
    """The name; DataError with a corrected one where it cannot name a folder everywhere."""
    if ALLOWED.fullmatch(name) and len(name) <= LONGEST and not RESERVED.fullmatch(name):
        return name
    raise DataError(
        f"{name!r} cannot name a product; use at most {LONGEST} letters a-z, digits, '-' and '_', "
        f"and no name that Windows reserves: for example {corrected(name)!r}"
    )


def corrected(name: str) -> str:
    """The nearest name that is allowed."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:LONGEST] or "product"
    return f"{plain}-1" if RESERVED.fullmatch(plain) else plain
