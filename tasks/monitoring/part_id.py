"""Which part an image shows: the key by which all that hears of an inspection knows it again."""

import hashlib
import re
import uuid

from tasks.workspace.errors import DataError
from tasks.workspace.names import GROUP

LONGEST = 128  # characters of a part id
UNREADABLE = "\ufffd"  # what stands for bytes that are not UTF-8
HEADER = "X-Part-Id"


def identity(data: bytes, part: str | None) -> dict[str, str]:
    """part and sha256 of an inspection of an image file's bytes; without a part, a fresh id."""
    return {"part": part or fresh_part(), "sha256": hashlib.sha256(data).hexdigest()}


def fresh_part() -> str:
    """An id that no other part has."""
    return uuid.uuid4().hex


def checked_part(text: str) -> str:
    """A part id that somebody gave; DataError where it cannot be one."""
    if UNREADABLE in text:
        raise DataError("the part id is not UTF-8, so that others may read the same; encode it so")
    if not (0 < len(text) <= LONGEST and text.isprintable() and text == text.strip()):
        shown = text[:LONGEST].encode("unicode_escape").decode()
        raise DataError(
            f"'{shown}' is no part id; give 1 to {LONGEST} printable characters, no space around"
        )
    return text


def part_in(name: str, pattern: re.Pattern[str] | None) -> str | None:
    """The part id in the name of a file; None where there is none, or no pattern."""
    found = pattern.search(name) if pattern else None
    return checked_part(found[GROUP]) if found and found[GROUP] else None


def part_of_request(header: str | None, field: str | None) -> str | None:
    """The part id that a client sent in the header X-Part-Id, or else in the query."""
    if header is not None and not header.isascii():  # a header says nothing of its letters
        raise DataError(f"{HEADER} has letters beyond ASCII; give them as ?part= instead")
    given = field if header is None else header
    return None if given is None else checked_part(given)
