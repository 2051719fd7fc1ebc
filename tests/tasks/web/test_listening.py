"""Clients that are slow, rude or many take nothing from the others, and nothing from the log."""

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from tasks.web.answers import add_answers
from tasks.web.listening import Limits, TellSometimes
from tests.tasks.web.listeners import served

SHORT = Limits(head=0.3, body=0.4, taking=0.4, idle=1.0)
ROOT = Path(__file__).parents[3]


def app() -> FastAPI:
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    add_answers(made)

    @made.get("/")
    async def hello() -> dict[str, str]:
        return {"say": "hello"}

    @made.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @made.post("/unread")
    async def unread() -> str:
        return "I did not look"

    @made.get("/large")
    async def large() -> Response:
        return Response(bytes(30_000_000))

    @made.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("the reason")

    return made


@pytest.fixture(scope="module")
def url():
    with served(app(), SHORT) as url:
        yield url


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=20)
    return made


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the other side ends."""
    found = b""
    try:
        while part := connection.recv(1 << 20):
            found += part
    except ConnectionError:
        pass
    return found


def answer_of(raw: bytes) -> tuple[int, dict]:
    head, _, body = raw.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.I)
    assert length, raw
    return int(head.split()[1]), json.loads(body[: int(length[1])])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ",
        b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_what_is_half_sent_is_not_waited_for(url, sent):
    with connected(url) as one:
        one.sendall(sent)
        status, told = answer_of(rest(one))
    assert status == 408 and list(told) == ["error"] and "must come within" in told["error"]


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        (b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n", b"a"),
        (b"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n", b"a"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (b"", b"\r\n"),
    ],
)
def test_a_little_now_and_then_does_not_hold_a_connection(url, first, piece):
    with connected(url) as one:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            one.sendall(first)
            while time.monotonic() - began < 20:
                one.sendall(piece)
                time.sleep(0.05)
    assert time.monotonic() - began < 10


def test_who_says_nothing_is_sent_away(url):
    with connected(url) as one:
        assert rest(one) == b""


def test_who_takes_no_answer_is_sent_away(url):
    with connected(url) as one:
        one.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.5)
        assert len(rest(one)) < 30_000_000


BAD = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS on a plain port
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\xff\xfe\xfd\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\x00\x00",
]


@pytest.mark.parametrize("sent", BAD)
def test_what_is_no_http_gets_json_too(url, sent, capfd):
    with connected(url) as one:
        one.sendall(sent)
        status, told = answer_of(rest(one))
    assert (status, list(told)) in ((400, ["error"]), (200, ["say"]))
    assert (status == 200) == (sent is BAD[-1])
    assert httpx.get(url, trust_env=False).json() == {"say": "hello"}
    assert capfd.readouterr().err == ""


def test_a_connection_serves_many_requests(url):
    with httpx.Client(base_url=url, trust_env=False) as client:
        for size in (0, 5, 100_000):
            assert client.post("/length", content=b"a" * size).json() == size
            assert client.get("/").headers["x-content-type-options"] == "nosniff"
            time.sleep(0.2)


def ask(connection: socket.socket) -> int:
    """The status of an answer on a connection that stays."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    said = b""
    while not said.endswith(b"}"):
        part = connection.recv(1 << 16)
        assert part, "the connection has ended"
        said += part
    return answer_of(said)[0]


def test_a_connection_is_kept_longer_than_a_client_keeps_it():
    """Or a request meets the end of its connection, and its client sees a reset."""
    limits = Limits()
    assert limits.idle > 60 > limits.head  # balancers keep theirs for a minute
    with served(app(), Limits(head=0.2, idle=1.5)) as url, connected(url) as one:
        assert ask(one) == 200
        time.sleep(0.6)
        assert ask(one) == 200
        assert rest(one) == b""


def test_half_a_head_after_an_answer_is_not_waited_for(url):
    with connected(url) as one:
        assert ask(one) == 200
        one.sendall(b"GET / HT")
        assert answer_of(rest(one))[0] == 408


def test_at_the_bound_the_longest_idle_connection_gives_way():
    with served(app(), Limits(connections=2)) as url, connected(url) as one, connected(url) as two:
        assert [ask(each) for each in (one, two, one)] == [200] * 3
        time.sleep(0.2)
        with connected(url) as more:
            assert ask(more) == 200
            assert rest(two) == b""
            assert ask(one) == 200


def test_no_other_protocol_is_spoken(url):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    answer = httpx.get(url, headers=upgrade | {"Sec-WebSocket-Key": "x" * 24}, trust_env=False)
    assert answer.json() == {"say": "hello"}


def test_a_failure_is_an_answer_and_stands_in_the_log(url, caplog):
    answer = httpx.get(f"{url}/broken", trust_env=False)
    assert answer.status_code == 500 and list(answer.json()) == ["error"]
    assert "the reason" in caplog.text and "the reason" not in answer.text


def test_connections_are_bounded_and_given_back():
    with served(app(), Limits(connections=3)) as url:
        held = [connected(url) for _ in range(3)]
        time.sleep(0.2)
        with connected(url) as more:
            status, told = answer_of(rest(more))
        assert status == 503 and "too many connections" in told["error"]
        for one in held:
            one.close()
        time.sleep(0.2)
        assert httpx.get(url, trust_env=False).json() == {"say": "hello"}


FEW = """
import resource, sys
sys.path.insert(0, {root!r})
import socket, time
import httpx
from tasks.web.listening import Limits
from tests.tasks.web.listeners import served
from tests.tasks.web.test_listening import app, connected
resource.setrlimit(resource.RLIMIT_NOFILE, (120, 400))
with served(app(), Limits(spare={spare})) as url:
    assert httpx.get(url, trust_env=False).json()  # it has all that it opens
    held = []
    for number in range(int(sys.argv[1])):
        try:
            held.append(connected(url))
        except OSError:  # our own descriptors are at their limit too
            break
    time.sleep(1.5)
    for one in held:
        one.close()
    for attempt in range(50):
        try:
            if httpx.get(url, trust_env=False, timeout=5).json() == {{"say": "hello"}}:
                break  # before, 503: it has not seen yet that connections ended
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    else:
        raise SystemExit("it does not answer any more")
"""


@pytest.mark.parametrize("spare", [20, -400])  # the second: no bound, so that none is left
def test_at_the_limit_of_descriptors_the_log_stays_short(spare):
    code = FEW.format(root=str(ROOT), spare=spare)
    command = [sys.executable, "-c", code, "200"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stderr) < 5000, ended.stderr[:5000]


def test_the_loop_is_told_once_in_a_while(caplog):
    tell = TellSometimes(every=0.2)
    for _ in range(500):
        tell(None, {"message": "out of descriptors", "exception": OSError("too many")})
    assert len(caplog.records) == 1
    time.sleep(0.25)
    tell(None, {"message": "out of descriptors"})
    assert "(and 499 times since" in caplog.records[1].getMessage()
