"""Who may read the board, and who may change something there.

A wrong name in `Host` means DNS rebinding: another site lets its name point to this machine. A
wrong `Origin` means CSRF: a page of another site sends the request. Both are refused, with any
cookie.
"""

import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.requests import Request

from tasks.web.board.users import OWNER, Person, Role, User, hashed, holder
from tasks.web.refused import Refused, unauthorised

COOKIE = "inspectline_board"
HEADER = (
    "x-inspectline"  # another site can send it only after a CORS preflight, which is never allowed
)
SESSION = 12 * 3600  # seconds that a login lasts
JSON, BYTES = "application/json", "application/octet-stream"
KINDS = {JSON: "JSON", BYTES: "the file's bytes"}
MOST = 1000  # sessions at once; the oldest ends


class Sessions:
    """Logins that go on. A restart of the board ends them all. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, str]] = {}  # by the hash of the cookie
        self._busy = threading.Lock()

    def begin(self, holder: str = "") -> str:
        """The value of a new session's cookie. holder: the hash of a user's token, or nothing."""
        value = secrets.token_urlsafe(32)
        with self._busy:
            now = time.time()
            self._known = {name: one for name, one in self._known.items() if one[0] > now}
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[hashed(value)] = now + SESSION, holder
        return value

    def holder(self, value: str) -> str | None:
        """Who began the session; None where there is none."""
        end, found = self._known.get(hashed(value), (0.0, ""))
        return found if time.time() < end else None

    def end(self, value: str) -> None:
        with self._busy:
            self._known.pop(hashed(value), None)


@dataclass(frozen=True)
class Access:
    """token: what clients must send, if any. names: allowed host names besides `localhost`, this
    machine's name, and IP addresses. key: what changes need where there is no token; who starts the
    board is shown it. No header tells a person at this machine from a proxy on it. Both have every
    right. users: people with tokens of their own; None: nobody was added."""

    token: str = ""
    names: tuple[str, ...] = ()
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    sessions: Sessions = field(default_factory=Sessions, repr=False)
    users: Callable[[], list[User] | None] = field(default=lambda: None, repr=False)

    def check_name(self, request: Request) -> None:
        """Refused if the host name in the request is not allowed."""
        name = host_name(request.headers.get("host", ""))
        if not (is_address(name) or name in self.known):
            raise Refused(421, f"this board is not known as '{name}'; start it with --name {name}")

    def check(self, request: Request) -> None:
        """Refused unless the request may read."""
        self.check_name(request)
        if self.asks and self.person(request) is None:
            raise unauthorised()

    def check_write(self, request: Request, role: Role = "label", kind: str = JSON) -> Person:
        """Who may do what needs this role; Refused for all others. kind: of the body."""
        self.check(request)
        self.check_page(request, kind)
        person = self.person(request)
        if person is None:
            raise Refused(
                403,
                "to change something, open the link that the board showed where it was started; "
                "or set INSPECTLINE_TOKEN there, and log in with it",
            )
        self.check_role(request, role)
        return person

    async def reader(self, request: Request) -> None:
        """`check`, for the routes that depend on it."""
        self.check(request)

    async def writer(self, request: Request) -> Person:
        """`check_write`, for the routes that depend on it."""
        return self.check_write(request)

    def check_role(self, request: Request, role: Role) -> None:
        """Refused for a user who has a smaller role; who is no user is let through."""
        person = self.person(request)
        if person is not None and not person.may(role):
            has = f"{person.name} has the role {person.role}"
            raise Refused(403, f"this needs the role {role}, and {has}")

    @property
    def asks(self) -> bool:
        """Whether nobody may look without a token."""
        return bool(self.token) or self.users() is not None

    def person(self, request: Request) -> Person | None:
        """Who asks, by a token or the session of a login; None for anybody."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.encode("latin-1") if scheme == "Bearer" else b""  # the bytes as sent
        return self._known(self.holder_of(given) or self._session(request))

    def holder_of(self, token: bytes) -> str | None:
        """The hash of a token that opens this board; None for any other. Compared in constant
        time."""
        own, given = hashed(self.token or self.key), hashed(token)
        if hmac.compare_digest(own, given):
            return own
        user = holder(self.users() or [], given)
        return user.sha256 if user else None

    def has_session(self, request: Request) -> bool:
        return self._session(request) is not None

    def _session(self, request: Request) -> str | None:
        return self.sessions.holder(request.cookies.get(COOKIE, ""))

    def _known(self, token: str | None) -> Person | None:
        """Whose token this is (its hash) now: a user may have been removed since the login."""
        if token is None:
            return None
        if hmac.compare_digest(token, hashed(self.token or self.key)):
            return OWNER
        user = holder(self.users() or [], token)
        return Person(user.name, user.role) if user else None

    def check_page(self, request: Request, kind: str = JSON) -> None:
        """Refused if a page of another site may have sent the request. kind: of the body."""
        content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content != kind:
            raise Refused(415, f"send {KINDS[kind]}, as Content-Type: {kind}")
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
