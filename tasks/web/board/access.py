"""Who may read the board, and who may change something there.

A wrong name in `Host` means DNS rebinding: another site lets its name point to this machine. A
wrong `Origin` means CSRF: a page of another site sends the request. Both are refused, with any
cookie.
"""

import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import Request

from tasks.web.refused import Refused, has_token, unauthorised

COOKIE = "inspectline_board"
HEADER = (
    "x-inspectline"  # another site can send it only after a CORS preflight, which is never allowed
)
SESSION = 12 * 3600  # seconds that a login lasts
MOST = 1000  # sessions at once; the oldest ends


class Sessions:
    """Logins that go on. A restart of the board ends them all. Thread-safe."""

    def __init__(self) -> None:
        self._ends: dict[bytes, float] = {}  # by the hash of the cookie: seconds since 1970
        self._busy = threading.Lock()

    def begin(self) -> str:
        """The value of a new session's cookie."""
        value = secrets.token_urlsafe(32)
        with self._busy:
            now = time.time()
            self._ends = {name: end for name, end in self._ends.items() if end > now}
            while len(self._ends) >= MOST:
                del self._ends[next(iter(self._ends))]
            self._ends[_hashed(value)] = now + SESSION
        return value

    def has(self, value: str) -> bool:
        return time.time() < self._ends.get(_hashed(value), 0.0)

    def end(self, value: str) -> None:
        with self._busy:
            self._ends.pop(_hashed(value), None)


def _hashed(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Access:
    """token: what clients must send, if any. names: allowed host names besides `localhost`, this
    machine's name, and IP addresses. key: what changes need where there is no token; who starts the
    board is shown it. No header tells a person at this machine from a proxy on it."""

    token: str = ""
    names: tuple[str, ...] = ()
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    sessions: Sessions = field(default_factory=Sessions, repr=False)

    def check_name(self, request: Request) -> None:
        """Refused if the host name in the request is not allowed."""
        name = host_name(request.headers.get("host", ""))
        if not (is_address(name) or name in self.known):
            raise Refused(421, f"this board is not known as '{name}'; start it with --name {name}")

    def check(self, request: Request) -> None:
        """Refused unless the request may read."""
        self.check_name(request)
        if self.token and not self.may_change(request):
            raise unauthorised()

    def check_write(self, request: Request) -> None:
        """Refused unless the request may change something."""
        self.check(request)
        self.check_page(request)
        if not self.may_change(request):
            raise Refused(
                403,
                "to change something, open the link that the board showed where it was started; "
                "or set INSPECTLINE_TOKEN there, and log in with it",
            )

    def may_change(self, request: Request) -> bool:
        """Whether a request shows the token, or the key, or that its client logged in with it."""
        return has_token(request, self.token or self.key) or self.has_session(request)

    def check_page(self, request: Request) -> None:
        """Refused unless the request is JSON that no page of another site may have sent."""
        content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content != "application/json":
            raise Refused(415, "send JSON, as Content-Type: application/json")
        self.check_site(request)

    def check_site(self, request: Request) -> None:
        """Refused if a page of another site may have sent the request."""
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
        """Whether this is the token, or the key; compared in constant time."""
        given = token.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(given, (self.token or self.key).encode())

    def has_session(self, request: Request) -> bool:
        return self.sessions.has(request.cookies.get(COOKIE, ""))


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
