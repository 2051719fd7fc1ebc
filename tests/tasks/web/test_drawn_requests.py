"""Whatever is asked of a service, it answers, as it answers everything; and changes nothing without
the right to."""

import base64
import hashlib
import http.client
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.products.changing import version_of
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.web.board.access import Access
from tasks.web.board.app import create_app as board_app
from tasks.web.serving.app import create_app as service_app
from tasks.web.serving.upload import Settings
from tasks.workspace.paths import Workspace
from tests.tasks.boards import KEY, line
from tests.tasks.web.listeners import served as listening
from tests.tasks.web.test_listening import connected
from tests.tasks.web.test_serving import make_line, png, served_from

DRAWS = 200  # requests of each kind
GUARDS = ("x-content-type-options", "content-security-policy", "x-frame-options", "cache-control")
PARTS = [
    *("products", "plate", "tile", "inspect", "threshold", "label", "champion", "pictures", "heat"),
    *("runs", "stop", "output", "drops", "files", "take", "forget"),
    *("progress", "login", "logout", "metrics", "healthz", "..", ".", "", "%2e%2e", "%00", "%2f"),
    *("etc", "passwd", "0", "-1", "9" * 30, "%ff", "a" * 300, "{x}", "<b>", "é", "..%5c", "~", "*"),
]
ROUTES = [
    *("/products/plate/inspect", "/products", "/metrics", "/healthz", "/", "/progress", "/login"),
    *("/products/tile", "/products/tile/label", "/pictures/tile/padim/heat/0", "/favicon.ico"),
    *("/products/tile/try", "/drawing/tile", "/drawing/tile/mask", "/drawing/tile/found"),
    *("/drawing/tile/image?image=test/crack/1.png", "/drawing/tile?image=../product.yaml"),
    *("/live", "/live/tile/0"),
    *("/runs", "/runs/stop", "/runs/output?at=0", "/runs/output?name=../../params.yaml", "/drops"),
    *("/drops/x", "/drops/x/files?name=a.png&as=train/good", "/drops/x/take", "/drops/x/forget"),
]
WORDS = [
    "",
    "0",
    "-1",
    "nan",
    "true",
    "a",
    "é",
    "\x7f",
    "\t",
    "x" * 3000,
    "../..",
    "%0d%0aX: y",
    "'\"<",
]
NAMES = [
    *("Host", "Origin", "Cookie", "Authorization", "Content-Type", "Content-Encoding", "Range"),
    *("X-Inspectline", "Sec-Fetch-Site", "If-None-Match", "X-Forwarded-For", "Expect", "Accept"),
]
VALUES = [
    *WORDS,
    *(
        "Bearer",
        "Bearer ",
        "Basic x:y",
        "application/json",
        "multipart/form-data; boundary=",
        "gzip",
    ),
    *("localhost", "[::1", "[::]:99999", "evil.example", "bytes=0-", "inspectline_board=", ";;=;="),
]
METHODS = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PROPFIND"]
ODD = [None, True, 0, -1, 1e308, 2**70, "", "a", "é", "\x00", "\ud800", "../x", "x" * 5000, [], {}]
KINDS = ["threshold", "label", "champion", "keep", "withdraw", "mask"]
STARTS: dict[str, dict[str, Any]] = {  # what the board starts, by its path
    "/runs": {"products": ["tile"], "by": "anna"},
    "/runs/stop": {"pid": 2**22 + 1, "by": "anna"},
    "/drops": {"product": "tile", "new": False},
    "/drops/none/take": {"by": "anna"},
    "/drops/none/forget": {},
}
KEYS = [
    "by",
    "reason",
    "change",
    "seen",
    "image",
    "label",
    "new",
    "kind",
    "release",
    "policy",
    "value",
]


def target(chance: random.Random) -> str:
    drawn = "/" + "/".join(chance.choices(PARTS, k=chance.randint(0, 5)))
    query = ["", "", "?heat_map=1", "?heat_map=%", "?=&&%00", "?" + "a" * 900]
    return chance.choice([drawn, *chance.choices(ROUTES, k=3)]) + chance.choice(query)


def headers(chance: random.Random) -> list[tuple[str, str]]:
    return list(zip(chance.sample(NAMES, 3), chance.choices(VALUES, k=3), strict=True))


def body(chance: random.Random) -> bytes:
    return chance.choice(
        [b"", b"{}", b"[" * 3000, b"\xff\xfe", chance.randbytes(2000), png(8, 8), b'{"by": NaN}']
    )


def thing(chance: random.Random, depth: int = 0) -> Any:
    """A value that may stand in JSON."""
    if depth < 3 and chance.random() < 0.3:
        return {chance.choice(KEYS): thing(chance, depth + 1) for _ in range(3)}
    if depth < 3 and chance.random() < 0.2:
        return [thing(chance, depth + 1) for _ in range(3)]
    return chance.choice(ODD)


def change(chance: random.Random, kind: str, workspace: Workspace) -> dict[str, Any]:
    """A change that is one, or nearly."""
    pointer = champion(store_of(workspace), "tile")
    assert pointer is not None
    found = {
        "threshold": {
            "change": {"policy": "fixed", "value": chance.random()},
            "seen": version_of(workspace.product("tile") / "product.yaml"),
        },
        "label": {"image": "test/good/1.png", "label": "crack", "seen": "good"},
        "keep": {"image": "test/good/1.png", "seen": chance.choice(["good", "crack"])},
        "withdraw": {"image": "test/good/1.png", "seen": chance.choice(["good", "crack"])},
        "mask": {"image": "test/crack/1.png", "mask": "", "seen": ""},
        "champion": {"kind": chance.choice(["promote", "rollback"]), "seen": pointer.release},
    }[kind] | {"by": "anna", "reason": "r"}
    if kind == "mask":
        found["mask"] = base64.b64encode(body(chance)).decode()
    for name in chance.sample(list(found), chance.choice([0, 1, 1, 2])):
        found[name] = thing(chance)
    return found


def started_by(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """The path and the body of something to start, or nearly."""
    path = chance.choice(list(STARTS))
    found = dict(STARTS[path])
    for name in chance.sample(list(found), chance.randint(0, len(found))):
        found[name] = chance.choice([thing(chance), [thing(chance)]])
    return path, found


class Started:
    """Stands for a command that ends at once; words: of each one that was started."""

    pid = 2**22 + 1

    def __init__(self) -> None:
        self.words: list[list[str]] = []

    def __call__(self, words: list[str], by: str, log: Any) -> "Started":
        self.words.append(words)
        return self

    def wait(self) -> int:
        return 0


def state(folder: Path) -> str:
    """What a folder holds, besides journals, locks and scratch."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".inspectline" not in path.parts:
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def ask(url: str, method: str, path: str, given: list[tuple[str, str]], content: bytes) -> int:
    """Send what no well-behaved client would; the answer's status, 0 if there is none to be had.

    There is an answer, and no failure; an error is JSON with one key, and all have their guards.
    """
    names = {name.lower() for name, _ in given}
    more = [("Host", "localhost")] if "host" not in names else []
    lines = [f"{name}: {value}" for name, value in [*more, *given]]
    head = [f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {len(content)}", "", ""]
    with connected(url) as one:
        one.sendall("\r\n".join(head).encode() + content)
        answer = http.client.HTTPResponse(one, method=method)
        answer.begin()
        said = answer.read()
    what = f"{method} {path} {given} {answer.status} {said[:300]!r}"
    assert answer.status < 500, what
    if answer.status != 400:  # h11's own answers to what is no HTTP
        assert all(answer.getheader(name) for name in GUARDS), what
    if answer.status >= 400 and said:
        assert list(json.loads(said)) == ["error"], what
    return answer.status


def ask_anything(url: str, seed: int) -> int:
    chance = random.Random(seed)
    return ask(url, chance.choice(METHODS), target(chance), headers(chance), body(chance))


def ask_change(url: str, asked: dict[str, Any], kind: str, key: str) -> int:
    return ask_start(url, f"/products/tile/{kind}", asked, key)


def ask_start(url: str, path: str, asked: dict[str, Any], key: str) -> int:
    given = [("X-Inspectline", "board"), ("Content-Type", "application/json")]
    given.append(("Authorization", f"Bearer {key}"))
    return ask(url, "POST", path, given, json.dumps(asked).encode())


@pytest.fixture
def caught(caplog):
    yield caplog
    assert "failed" not in caplog.text, caplog.text


def test_whatever_is_asked_of_a_service_is_answered(tmp_path, caught):
    app = service_app([served_from(make_line(tmp_path))], Settings(upload_mb=0.1, megapixels=0.1))
    with listening(app) as url:
        answers = Counter(ask_anything(url, seed) for seed in range(DRAWS))
        health = httpx.get(f"{url}/healthz", trust_env=False).json()
    assert health == {"status": "ok"} and len(answers) > 3, answers


def test_whatever_is_asked_of_a_board_is_answered_and_changes_nothing(tmp_path, caught):
    workspace = line(tmp_path / "ws")
    before, started = state(workspace.root), Started()
    app = board_app(workspace, Access("", (), key=KEY), start=started)
    with listening(app) as url:
        answers = Counter(ask_anything(url, seed) for seed in range(DRAWS))
        for seed in range(DRAWS):
            chance = random.Random(seed)
            kind = chance.choice(KINDS)
            assert ask_change(url, change(chance, kind, workspace), kind, "a guess") == 403
            assert ask_start(url, *started_by(chance), "a guess") == 403
    assert started.words == []
    assert len(answers) > 3 and state(workspace.root) == before


def test_a_change_of_any_form_is_made_or_refused(tmp_path, caught):
    workspace = line(tmp_path / "ws")
    answers: Counter[int] = Counter()
    with listening(board_app(workspace, Access("", (), key=KEY))) as url:
        for seed in range(DRAWS):
            chance, before = random.Random(seed), state(workspace.root)
            kind = chance.choice(KINDS)
            asked = change(chance, kind, workspace)
            status = ask_change(url, asked, kind, KEY)
            answers[status] += 1
            assert status == 200 or state(workspace.root) == before, asked
        for path in ("/", "/products/tile", "/progress"):
            assert ask(url, "GET", path, [("Authorization", f"Bearer {KEY}")], b"") == 200
    assert answers[200] > 9 and answers[422] > 9, answers


def test_whatever_is_tried_on_a_board_is_answered(tmp_path, caught):
    workspace = line(tmp_path / "ws")
    store_of(workspace).delete("champions/tile.json")
    given = [("X-Inspectline", "board"), ("Content-Type", "application/octet-stream")]
    answers: Counter[int] = Counter()
    before = state(workspace.root)
    with listening(board_app(workspace, Access("", (), key=KEY))) as url:
        for seed in range(40):
            chance = random.Random(seed)
            product = chance.choice(["tile", "tile", "plate", "%00"])
            path, headed = f"/products/{product}/try", chance.choice([given, given, given[:1]])
            answers[ask(url, "POST", path, headed, body(chance))] += 1
    assert {404, 409, 415, 422} <= answers.keys() and state(workspace.root) == before, answers


def test_a_start_of_any_form_is_made_or_refused(tmp_path, caught):
    workspace, started = line(tmp_path / "ws"), Started()
    before = state(workspace.root)
    answers: Counter[int] = Counter()
    with listening(board_app(workspace, Access("", (), key=KEY), start=started)) as url:
        for seed in range(DRAWS):
            answers[ask_start(url, *started_by(random.Random(seed)), KEY)] += 1
    assert started.words and {tuple(words) for words in started.words} <= {
        ("run",),
        ("run", "-p", "tile"),
    }
    assert answers[200] > 9 and answers[422] > 9, answers
    assert state(workspace.root) == before
