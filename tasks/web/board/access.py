"""Who may read the board, and who may change something there.

A wrong name in `Host` means DNS rebinding: another site lets its name point to this machine. A
wrong `Origin` means CSRF: a page of another site sends the request. Both are refused, with any
cookie.
"""

import hashlib
import hmac
import ipaddress
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request

from tasks.web.refused import Refused, has_token, unauthorised

COOKIE = "inspectline_board"
HEADER = (
    "x-inspectline"  # another site can send it only after a CORS preflight, which is never allowed
)
SESSION = 12 * 3600  # seconds that a login lasts
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True)
class Access:
    """token: the token that clients must send, if any. names: allowed host names besides
    `localhost`, this machine's name, and IP addresses."""

    token: str = ""
    names: tuple[str, ...] = ()

    def check_name(self, request: Request) -> None:
        """Refused if the host name in the request is not allowed."""
        name = host_name(request.headers.get("host", ""))
        if not (is_address(name) or name in self.known):
            raise Refused(421, f"this board is not known as '{name}'; start it with --name {name}")

    def check(self, request: Request) -> None:
        """Refused unless the request may read."""
        self.check_name(request)
        if self.token and not (has_token(request, self.token) or self.has_session(request)):
            raise unauthorised()

    def check_write(self, request: Request) -> None:
        """Refused unless the request may change something."""
        self.check(request)
        self.check_page(request)
        if not self.may_change(request):
            raise Refused(
                403,
                "without a token changes are made from this machine alone; set INSPECTLINE_TOKEN "
                "where the board starts",
            )

    def may_change(self, request: Request) -> bool:
        """Whether a request that may read may also change something: with a token, or from this
        machine."""
        return bool(self.token) or is_local(request)

    def check_page(self, request: Request) -> None:
        """Refused if a page of another site may have sent the request."""
        content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content != "application/json":
            raise Refused(415, "send JSON, as Content-Type: application/json")
        if request.headers.get(HEADER) != "board":
            raise Refused(403, "the header 'X-Inspectline: board' is missing")
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if site not in (None, "same-origin"):
            raise Refused(403, "a page of another site asked for this")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise Refused(403, f"a page of {origin} asked for this")

    @property
    def known(self) -> set[str]:
        return {name.lower() for name in ("localhost", socket.gethostname(), *self.names)}

    def fits(self, token: str) -> bool:
        """Whether this is the right token; compared in constant time."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    def session(self, now: float | None = None) -> str:
        """The value of a session cookie, with its end time."""
        end = str(int((time.time() if now is None else now) + SESSION))
        return f"{end}.{self._sign(end)}"

    def has_session(self, request: Request) -> bool:
        end, _, signed = request.cookies.get(COOKIE, "").partition(".")
        genuine = hmac.compare_digest(signed.encode(), self._sign(end).encode())
        return genuine and end.isdigit() and time.time() < int(end)

    def _sign(self, end: str) -> str:
        key = hashlib.sha256(f"board {self.token}".encode()).digest()
        return hmac.new(key, end.encode(), "sha256").hexdigest()


def host_name(header: str) -> str:
    """The name in a `Host` header, in lower case; empty if it is invalid."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Whether a host is an IP address: nobody else can let it point to this machine."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine and not from a proxy on it."""
    proxied = any(name in request.headers for name in FORWARDED)
    try:
        near = ipaddress.ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False
    name = host_name(request.headers.get("host", ""))
    loop = name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)
    return near and loop and not proxied
