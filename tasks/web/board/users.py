"""Who may use the board: a name, a role, and the hash of a token. The file is in no git."""

import hashlib
import hmac
import json
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from tasks.workspace import clock
from tasks.workspace.errors import WorkspaceError, hint
from tasks.workspace.files import SHARED_FOLDER, write_json
from tasks.workspace.journal import hold
from tasks.workspace.paths import Workspace

Role = Literal["look", "label", "promote"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
NAME = re.compile(r"\w(?:[\w .@+-]{0,62}[\w.])?")  # no brackets: records say `(board)` of others


@dataclass(frozen=True)
class User:
    """sha256: of the token, which nobody keeps; since: when the token was made, UTC."""

    name: str
    role: Role
    sha256: str
    since: str


@dataclass(frozen=True)
class Person:
    """Who asks. name: verified; empty for who has the board's own token or key."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


OWNER = Person("", "promote")


class Users:
    """The users of a workspace. A change of the file counts from the next request on."""

    def __init__(self, workspace: Workspace) -> None:
        self.path = workspace.scratch / "users.json"
        self._busy = threading.Lock()
        self._known: tuple[object, list[User] | None] = (None, None)

    def now(self) -> list[User] | None:
        """None where nobody was ever added: then the board asks nobody for a name."""
        try:
            about = self.path.stat()
        except FileNotFoundError:
            return None
        version = about.st_ino, about.st_mtime_ns, about.st_size
        with self._busy:
            if self._known[0] != version:
                self._known = version, self._read()
            return self._known[1]

    def add(self, name: str, role: Role) -> str:
        """The fresh token of a new user; it cannot be had again."""
        name, token = user_name(name), secrets.token_urlsafe(32)
        with self._changing() as users:
            if any(same(one.name, name) for one in users):
                again = f"`inspectline users remove '{name}'` first, for a fresh token or a role"
                raise WorkspaceError(f"{name} is a user already; {again}")
            users.append(User(name, role, hashed(token), clock.now()))
        return token

    def remove(self, name: str) -> User:
        """The user who was removed. Logins of that name end with the next request."""
        with self._changing() as users:
            gone = next((one for one in users if same(one.name, name)), None)
            if gone is None:
                known = hint(name, [one.name for one in users]) if users else "there is none"
                raise WorkspaceError(f"no user is called '{name}'; {known}")
            users.remove(gone)
        return gone

    @contextmanager
    def _changing(self) -> Iterator[list[User]]:
        """The users, written when the block ends well; one change at a time."""
        try:
            self.path.parent.mkdir(exist_ok=True)
            with hold(self.path):
                users = (self._read() if self.path.exists() else None) or []
                yield users
                write_json(self.path, [asdict(one) for one in users])
        except PermissionError as error:
            raise WorkspaceError(f"{self.path} cannot be written: {SHARED_FOLDER}") from error

    def _read(self) -> list[User]:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            users = [User(**one) for one in found]
            whole = all(one.role in ROLES and len(one.sha256) == 64 for one in users)
            if isinstance(found, list) and whole:
                return users
        except (OSError, ValueError, TypeError):
            pass
        raise WorkspaceError(
            f"{self.path} cannot be read; remove it, and add the users again with "
            "`inspectline users add`"
        )


def user_name(text: str) -> str:
    """A name in one form of Unicode; WorkspaceError where it cannot stand in a record."""
    name = unicodedata.normalize("NFC", text)
    if not NAME.fullmatch(name):
        raise WorkspaceError(
            f"{text!r} cannot name a user; use up to 64 letters, digits, spaces, and any of . @ + -"
        )
    return name


def same(one: str, other: str) -> bool:
    """Whether people would take two names for one."""
    folded = (unicodedata.normalize("NFKC", name).casefold() for name in (one, other))
    return next(folded) == next(folded)


def hashed(token: str | bytes) -> str:
    """The sha256 of a token. It is drawn from 256 bits, so that no salt is needed."""
    data = token if isinstance(token, bytes) else token.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()


def holder(users: list[User], token: str) -> User | None:
    """Whose token this is (its hash); all are compared, each in constant time."""
    fits = [one for one in users if hmac.compare_digest(one.sha256.encode(), token.encode())]
    return fits[0] if fits else None
