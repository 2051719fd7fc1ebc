"""Who may look at the board, and who may change something there.

A name other than this machine's in `Host` is a page elsewhere that has its name point here (DNS
rebinding); another `Origin` is a page elsewhere that asks for its visitor (CSRF). Neither gets in,
whatever cookie the browser adds.
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
HEADER = "x-inspectline"  # no page elsewhere can add it without being asked first, and it never is
SESSION = 12 * 3600  # seconds that a login lasts
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


@dataclass(frozen=True)
class Access:
    """token: what clients must show, if any. names: by which the board may be called, besides
    `localhost`, this machine's name, and addresses."""

    token: str = ""
    names: tuple[str, ...] = ()

    def check_name(self, request: Request) -> None:
        """Refused where the board is asked for by a name that is not its own."""
        name = host_name(request.headers.get("host", ""))
        if not (is_address(name) or name in self.known):
            raise Refused(421, f"this board is not known as '{name}'; start it with --name {name}")

    def check(self, request: Request) -> None:
        """Refused unless the request may look."""
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
        """Whether who may look may also change something: with a token, or from this machine."""
        return bool(self.token) or is_local(request)

    def check_page(self, request: Request) -> None:
        """Refused where a page of somebody else's may have sent the request."""
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
        """Whether this is the token; compared in constant time."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    def session(self, now: float | None = None) -> str:
        """The value of a cookie that stands for the token until it ends."""
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
    """The name in a `Host` header, in lower case; empty where it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_address(name: str) -> bool:
    """Whether a host is an address: no name, so that nobody else can have it point here."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine, and from no proxy on it."""
    proxied = any(name in request.headers for name in FORWARDED)
    try:
        near = ipaddress.ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False
    name = host_name(request.headers.get("host", ""))
    loop = name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)
    return near and loop and not proxied
