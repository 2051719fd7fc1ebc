"""Download a file over HTTP. It resumes after an interruption and appears complete or not at
all."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock, Timeout

from tasks.workspace.errors import DataError
from tasks.workspace.files import need_space, write_json, writing
from tasks.workspace.secrets import without_password

Report = Callable[[int, int | None], None]  # bytes downloaded, total bytes if known
WAITS = (1.0, 3.0, 10.0, 30.0)  # seconds to wait after an attempt without data
PATIENCE = 30.0  # seconds without a byte
LATER = frozenset(
    {408, 425, 429, 500, 502, 503, 504}
)  # answers after which a new attempt may succeed


class Partial:
    """The downloaded part of a file and its version: `<file>.part` and `<file>.part.json`."""

    def __init__(self, target: Path, url: str) -> None:
        self.url = url
        self.address = without_password(url)  # as it is written down
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.facts = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def known(self) -> dict[str, Any]:
        """`url`, `version` and `total` of the downloaded part; empty if it belongs to another
        address."""
        try:
            found = json.loads(self.facts.read_text())
        except (OSError, ValueError):
            return {}
        return found if found.get("url") == self.address and self.size else {}

    def keep(self, version: str | None, total: int | None) -> None:
        write_json(self.facts, {"url": self.address, "version": version, "total": total})

    def finish(self) -> None:
        self.path.replace(self.target)
        self.facts.unlink(missing_ok=True)


def download_file(url: str, target: Path, report: Report, checked: bool = False) -> None:
    """Download `url` to `target`; DataError if that fails.

    checked: whether the complete file is verified by a checksum. Without a checksum, a part is
    continued only if the server gives a version that shows a change.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url} does not begin with http:// or https://")
    part = Partial(target, url)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        with lock.acquire(timeout=0):
            download_with_retries(part, report, checked)
            part.finish()
    except Timeout:
        raise DataError(f"{target} is being downloaded already; wait for that to end") from None


def download_with_retries(part: Partial, report: Report, checked: bool) -> None:
    """Repeat requests until the file is complete; after one that brought data the next follows at
    once."""
    waits = iter(WAITS)
    while True:
        before = part.size
        try:
            with httpx.Client(follow_redirects=True, timeout=PATIENCE) as client:
                return request_rest(client, part, report, checked)
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in LATER:
                raise http_error(part.url, error.response) from error
            reason = f"it answers {error.response.status_code}"
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DataError(f"{part.url} cannot be read ({error}); check the address") from error
        if part.size > before:
            waits = iter(WAITS)
        if (wait := next(waits, None)) is None:
            kept = f"; the {part.size:,} bytes so far are kept" if part.size else ""
            raise DataError(
                f"{part.url} cannot be read ({reason}){kept}. "
                "Check the network, then give the same command again"
            )
        time.sleep(wait)


def request_rest(client: httpx.Client, part: Partial, report: Report, checked: bool) -> None:
    """One request for the missing bytes, or for the whole file if it has changed on the server."""
    known, have = part.known(), part.size
    if known and known["total"] == have:
        return
    headers = {"Accept-Encoding": "identity"}
    if known and (known["version"] or checked):
        headers["Range"] = f"bytes={have}-"
        if known["version"]:
            headers["If-Range"] = known["version"]
    with client.stream("GET", part.url, headers=headers) as response:
        if response.status_code in (206, 416) and not continues_part(
            response, have, known["total"]
        ):
            part.path.unlink()  # the part belongs to another file
            raise httpx.RemoteProtocolError("the answer does not continue the downloaded part")
        response.raise_for_status()
        start = have if response.status_code == 206 else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if "text/html" in response.headers.get("Content-Type", ""):
            raise DataError(f"{part.url} is a web page and no archive; give the file's own address")
        need_space(part.path.parent, (total or start) - start, part.url)
        part.keep(file_version(response), total)
        with writing(part.path), part.path.open("ab" if start else "wb") as file:
            report(start, total)
            for chunk in response.iter_raw():  # as they arrive: an incomplete chunk is lost
                file.write(chunk)
                report(file.tell(), total)


def continues_part(response: httpx.Response, have: int, total: int | None) -> bool:
    """Whether the answer continues where the part ends and has the same total length."""
    span, _, whole = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    same = total is None or not whole.isdigit() or int(whole) == total
    return span.partition("-")[0] == str(have) and same


def file_version(response: httpx.Response) -> str | None:
    """A value for `If-Range`: a strong ETag, or the date of the last change."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return response.headers.get("Last-Modified")


def http_error(url: str, response: httpx.Response) -> DataError:
    return DataError(f"{url} answers {response.status_code} {response.reason_phrase}")
