"""What is secret comes into no message, record or log.

Secret are passwords in addresses, signatures in their queries, and the values of variables of the
environment whose names say so.
"""

import logging
import os
import re
import sys
import traceback
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"
SHORTEST = 8  # characters of a value; a shorter one may be any word of a message
NAMES = re.compile(
    r"(SECRET|TOKEN|PASSWORD|PASSWD|API_KEY|ACCESS_KEY|AUTH_STRING)(?!.*_(FILE|DIR|PATH)$)"
)
IN_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/'\"<>]*@", re.IGNORECASE)
PAIR = re.compile(r"(?<![\w/:@])[\w.+-]+:[^\s/'\"<>:@]+@(?=\w)")  # of such an address, cut up
IN_QUERY = re.compile(
    r"([?&;][\w.-]*(?:signature|sig|token|key|secret|password|credential|auth)[\w.-]*=)[^&\s'\"<>]+",
    re.IGNORECASE,
)
IN_HEADER = re.compile(r"\b(authorization['\"]?\s*[:=]\s*['\"]?\w+\s+)[^\s'\"]+", re.IGNORECASE)
IN_VALUE = re.compile(r"://[^/]*?:(.*)@")  # the password of an address, whatever it holds

BARE_SLASH = re.compile(r"[a-z]+://[^/@]*:[^/@\d\]][^/@]*/.*@", re.IGNORECASE)
HELPER = re.compile(r"[A-Za-z][\w-]*::")  # of git, as codecommit::https://...


def without_secrets(text: str) -> str:
    """The text as it may be shown."""
    for value in _values():
        text = text.replace(value, HIDDEN)
    text = PAIR.sub("", IN_ADDRESS.sub(r"\1", text))
    return IN_HEADER.sub(rf"\1{HIDDEN}", IN_QUERY.sub(rf"\1{HIDDEN}", text))


def _values() -> list[str]:
    """Secret values of the environment, the longest first."""
    found = set()
    for name, value in os.environ.items():
        if NAMES.search(name.upper()):
            found.add(value)
        elif "://" in value and (password := IN_VALUE.search(value)):
            found.add(password[1])
    return sorted((one for one in found if len(one) >= SHORTEST), key=len, reverse=True)


def without_password(address: str) -> str:
    """An address that others may have: no password, and of a web address no user nor query.

    `user@` of ssh stays: without it git does not get in.
    """
    helper = found[0] if (found := HELPER.match(address)) else ""
    plain = address.removeprefix(helper)
    if BARE_SLASH.match(plain):  # of a password: git and we would read another host
        plain = plain.partition("://")[0] + "://" + plain.rpartition("@")[2]
    parts = urlsplit(plain)
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme in ("http", "https"):
        return helper + urlunsplit(parts._replace(netloc=host, query="", fragment=""))
    if ":" in user:
        return helper + urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))
    return address


def guard_output() -> None:
    """Have this process log and end without a secret, also where another package speaks."""
    logging.setLogRecordFactory(SafeRecord)
    sys.excepthook = _show


class SafeRecord(logging.LogRecord):
    """A record of the log whose text and stack trace hold no secret."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        if self.exc_info and self.exc_info[0]:
            trace = "".join(traceback.format_exception(*self.exc_info))
            self.exc_text = without_secrets(trace.rstrip("\n"))

    def getMessage(self) -> str:  # noqa: N802, its name in logging
        return without_secrets(super().getMessage())


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(without_secrets(text))
