"""A store in S3. Endpoint and credentials come from boto3's own environment and are never shown.

Checksums stay in the manifest: not every server keeps an object's metadata.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.store.base import Store, check_key
from tasks.store.s3_client import ATTEMPTS, asking, code_of, connect, shown
from tasks.workspace.errors import ConflictError, StoreError
from tasks.workspace.files import CHUNK, disk

MET = ("ConditionalRequestConflict", "409")  # two conditional writes at once: ask again
NOT_HELD = ("PreconditionFailed", "412", "NoSuchKey", *MET)


class S3Store(Store):
    """Objects below `s3://bucket/prefix`."""

    def __init__(self, address: str, *, single_writer: bool = False, timeout: float = 12.0) -> None:
        self.address = address.rstrip("/")
        self.bucket, _, prefix = self.address.removeprefix("s3://").partition("/")
        if not self.bucket:
            raise StoreError(f"'{address}' names no bucket; write s3://bucket/prefix")
        self.prefix = f"{prefix}/" if prefix else ""
        self.single_writer = single_writer
        self._conditional: bool | None = None
        self._s3 = connect(self.address, timeout)
        self.endpoint = shown(self._s3.meta.endpoint_url)

    def get_with_tag(self, key: str) -> tuple[bytes, str] | None:
        """Content and ETag."""
        with self._asking(key):
            answer = self._open(key)
            return None if answer is None else (answer["Body"].read(), answer["ETag"])

    def chunks(self, key: str) -> Iterator[bytes]:
        """The content piece by piece; after a broken connection it goes on where it broke."""
        offset, etag = 0, ""
        for attempt in range(ATTEMPTS):
            rest = {"Range": f"bytes={offset}-", "IfMatch": etag} if offset else {}
            with self._asking(key):
                answer = self._open(key, **rest)
                if answer is None:
                    raise StoreError(f"{self._names(key)} is missing")
                etag = answer["ETag"]
                try:
                    for chunk in answer["Body"].iter_chunks(CHUNK):
                        offset += len(chunk)
                        yield chunk
                    return
                except BotoCoreError:
                    if attempt == ATTEMPTS - 1:
                        raise

    def put(self, key: str, data: bytes | Path) -> bool:
        """True when written, False when the key was taken."""
        condition = {"IfNoneMatch": "*"} if self.conditional() else {}
        if not condition and key in self.keys(key):
            return False
        if isinstance(data, bytes):
            return self._put(key, data, condition)
        with disk(f"'{data}'"), data.open("rb") as file:
            return self._put(key, file, condition)

    def put_if(self, key: str, data: bytes, tag: str | None) -> None:
        """Write while the object has `tag`, else ConflictError."""
        if not self.conditional():
            self._put_alone(key, data, tag)
            return
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        # after a lost answer boto3's own retry is refused although the first attempt was ours
        if not self._put(key, data, condition) and self.get(key) != data:
            raise ConflictError(f"{self._names(key)} was changed by somebody else")

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        with self._asking(key):
            self._s3.delete_object(Bucket=self.bucket, Key=self._key(key))

    def keys(self, prefix: str) -> dict[str, int]:
        """Key and bytes of each object whose key begins with the prefix."""
        found = {}
        pages = self._s3.get_paginator("list_objects_v2")
        whole = self._key(prefix) if prefix else self.prefix
        with self._asking(prefix):
            for page in pages.paginate(Bucket=self.bucket, Prefix=whole):
                for entry in page.get("Contents", []):
                    found[entry["Key"].removeprefix(self.prefix)] = entry["Size"]
        return dict(sorted(found.items()))

    def conditional(self) -> bool:
        """Whether the server honours conditional writes, asked once with a throw-away object."""
        if self._conditional is None:
            key, absent = f"probe/{uuid.uuid4().hex}", {"IfNoneMatch": "*"}
            try:
                self._conditional = (
                    self._put(key, b"1", absent)
                    and not self._put(key, b"2", absent)
                    and not self._put(key, b"3", {"IfMatch": f'"{"0" * 32}"'})
                )
            except ClientError:  # answers NotImplemented
                self._conditional = False
            with suppress(StoreError):  # without the right to delete, one byte is left behind
                self.delete(key)
        return self._conditional

    def _put_alone(self, key: str, data: bytes, tag: str | None) -> None:
        if not self.single_writer:
            raise StoreError(
                f"the server of {self.address} at {self.endpoint} ignores conditional writes, so "
                "two promotions at once could overwrite each other; if only one writer ever "
                "promotes here, declare it in params.yaml: store: {single_writer: true}"
            )
        found = self.get_with_tag(key)
        if (None if found is None else found[1]) != tag:
            raise ConflictError(f"{self._names(key)} was changed by somebody else")
        self._put(key, data, {})

    def _put(self, key: str, data: Any, condition: dict[str, str]) -> bool:
        """True when written, False when the server says that the condition does not hold."""
        expected = (*NOT_HELD, "NotImplemented") if condition else ()
        target = {"Bucket": self.bucket, "Key": self._key(key)}
        for attempt in range(ATTEMPTS):
            try:
                with self._asking(key, expected):
                    self._s3.put_object(**target, Body=data, **condition)
                return True
            except ClientError as error:
                if code_of(error) not in NOT_HELD:
                    raise
                if code_of(error) not in MET or attempt == ATTEMPTS - 1:
                    return False
            time.sleep(0.2)
        return False

    def _open(self, key: str, **rest: str) -> Any:
        """The answer with an open body, or None where there is no such object."""
        try:
            return self._s3.get_object(Bucket=self.bucket, Key=self._key(key), **rest)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":  # a bare 404 may come from any web server
                return None
            raise

    def _asking(self, key: str, expected: tuple[str, ...] = ()) -> AbstractContextManager[None]:
        return asking(key, self.address, self.endpoint, expected)

    def _names(self, key: str) -> str:
        return f"'{key}' in the store {self.address}"

    def _key(self, key: str) -> str:
        return self.prefix + check_key(key)
