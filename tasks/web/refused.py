"""Error answers, and the token of a client."""

import hmac

from starlette.requests import Request


class Refused(Exception):
    """An error answer; its text is the reason."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


def has_token(request: Request, token: str) -> bool:
    """Whether a request has the token as its bearer token; compared in constant time."""
    given = request.headers.get("authorization", "").encode("latin-1")  # the bytes as sent
    return hmac.compare_digest(given, f"Bearer {token}".encode())


def unauthorised() -> Refused:
    text = "a token is needed; send the header 'Authorization: Bearer TOKEN'"
    return Refused(401, text, {"WWW-Authenticate": "Bearer"})
