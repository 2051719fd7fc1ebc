"""The present files of a watched folder or bucket, and how ingest gets some of them."""

import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from tasks.arrival.bucket_events import BucketEvents
from tasks.arrival.buckets import SCHEME, image_keys
from tasks.arrival.labels import Labels
from tasks.arrival.offer import Offer
from tasks.arrival.sorting import sort_paths
from tasks.images.layout import Odd, image_files
from tasks.workspace.aws import client
from tasks.workspace.errors import DataError, StoreError

RELIST = 300.0  # seconds after which a bucket is listed without an event
Stamp = tuple[int, str]  # bytes, and the mtime or ETag
Listing = dict[PurePosixPath, Stamp]


class Source(Protocol):
    address: str
    refused: list[tuple[str, str]]  # (name, reason) in the last listing

    def listing(self) -> Listing:
        """Every image, by its path below the source."""

    def stage(self, paths: Iterable[PurePosixPath], scratch: Path) -> None:
        """Make these files available below `scratch`, with the same paths."""


class FolderSource:
    """A folder. Staged files are links, so that no file is copied twice."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.folder = Path(address).expanduser().resolve()
        self.refused: list[tuple[str, str]] = []

    def listing(self) -> Listing:
        if not self.folder.is_dir():
            raise DataError(f"{self.address}: no such folder; check the path, or mount it again")
        found: Listing = {}
        odd: Odd = []
        for path in image_files(self.folder, odd):
            try:
                facts = (self.folder / path).stat()
            except FileNotFoundError:  # deleted in the meantime
                continue
            found[path] = facts.st_size, str(facts.st_mtime_ns)
        self.refused = [(str(path), reason) for path, reason in odd]
        return found

    def stage(self, paths: Iterable[PurePosixPath], scratch: Path) -> None:
        for path in paths:
            (scratch / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / path).symlink_to(self.folder / path)


class BucketSource:
    """What lies below s3://bucket/prefix.

    With an event queue it is listed after an event and every RELIST seconds.
    """

    def __init__(self, address: str, events: BucketEvents | None = None) -> None:
        self.address = address
        self.events = events
        self._known: Listing = {}
        self._counted = -1  # event count at the last listing
        self._listed = 0.0
        self.bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.refused: list[tuple[str, str]] = []
        self._keys: dict[PurePosixPath, str] = {}
        self._s3: Any = None

    def listing(self) -> Listing:
        if self.events is None:
            return self._list()
        count = self.events.count()
        if count != self._counted or time.monotonic() - self._listed >= RELIST:
            self._known = self._list()
            self._counted, self._listed = count, time.monotonic()
        return self._known

    def _list(self) -> Listing:
        found: dict[str, Stamp] = {}
        pages = self._ask().get_paginator("list_objects_v2")
        with _store_errors(self.address):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for entry in page.get("Contents", []):
                    found[entry["Key"]] = entry["Size"], entry["ETag"]
        sizes = {key: size for key, (size, _) in found.items()}
        self._keys, self.refused = image_keys(sizes, self.prefix)
        return {path: found[key] for path, key in self._keys.items()}

    def stage(self, paths: Iterable[PurePosixPath], scratch: Path) -> None:
        with _store_errors(self.address):
            for path in paths:
                (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                self._ask().download_file(self.bucket, self._keys[path], str(scratch / path))

    def _ask(self) -> Any:
        self._s3 = self._s3 or client("s3")
        return self._s3


class _store_errors:  # noqa: N801
    """A context that turns errors of boto3 into a StoreError with the name of the source."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, BotoCoreError | ClientError):
            raise StoreError(f"{self.address} cannot be read: {error}") from error


def open_source(address: str, events: BucketEvents | None = None) -> Source:
    """The source at a folder or at s3://bucket/prefix; events: the queue of the bucket, if any."""
    return BucketSource(address, events) if address.startswith(SCHEME) else FolderSource(address)


def ready_files(
    listing: Listing,
    new: set[PurePosixPath],
    whole: set[PurePosixPath],
    source: str,
    labels: Labels,
) -> Offer:
    """What to ingest now: new and complete files, an image together with its mask, and the files
    that are refused because of their place.

    All that lies in the source says what its folders mean, and not the last file. A mask waits for
    its image. A DataError is a question.
    """
    if not listing:
        return Offer()
    offer = sort_paths(sorted(listing, key=str), source, labels)
    return Offer(
        [one for one in offer.arrivals if one.files & new and one.files <= whole],
        [(path, reason) for path, reason in offer.refused if path in new & whole],
        [path for path in offer.skipped if path in new & whole],
    )
