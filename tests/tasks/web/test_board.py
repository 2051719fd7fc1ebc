"""The board lets in whom it should, and changes by hand what the command line would."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tasks.products import changing
from tasks.spec.corrections import read_corrections
from tasks.spec.read import read_product
from tasks.store.champion import champion, promote
from tasks.store.opening import store_of
from tasks.store.releases import releases
from tasks.web.board import access
from tasks.web.board.access import COOKIE, Access
from tasks.web.board.app import create_app
from tasks.workspace.journal import Journal
from tasks.workspace.lock import RUN, run_lock
from tasks.workspace.paths import Workspace
from tests.tasks.boards import KEY, SPEC, Client, line

TOKEN = "tøken of the line"
HERE = ("127.0.0.1", 50000)
ELSEWHERE = ("192.0.2.7", 50000)
WHO = {"by": "anna", "reason": "the customer asks for it"}
LOOKS = ("/progress", "/products/tile", "/pictures/tile/padim/heat/0")
OURS = {"X-Inspectline": "board"}


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    return line(tmp_path / "ws")


def client(
    made: Workspace,
    token: str = "",
    peer: tuple[str, int] = HERE,
    host: str = "localhost",
    key: str = KEY,
):
    """A client of a board of its own; without a token it shows the board's key, or none."""
    app = create_app(made, Access(token, ("board.example",), key=KEY))
    made_client = Client(app, f"http://{host}:8090", peer)
    if not token and key:
        made_client.headers = {"Authorization": f"Bearer {key}"}
    return made_client


def seen(made: Workspace) -> str:
    return changing.version_of(made.product("tile") / "product.yaml")


def threshold(made: Workspace, **more):
    return {**WHO, "change": {"policy": "fixed", "value": 3.5}, "seen": seen(made), **more}


def post(client, path, body, **headers):
    return client.post(f"/products/tile/{path}", json=body, headers={**OURS, **headers})


def untouched(made: Workspace) -> bool:
    return (made.product("tile") / "product.yaml").read_text() == SPEC


def leader(made: Workspace) -> str:
    pointer = champion(store_of(made), "tile")
    return pointer.release if pointer else ""


def test_a_threshold_is_written_into_the_spec_and_recorded(made):
    answer = post(client(made), "threshold", threshold(made))
    assert answer.status_code == 200, answer.text
    rule = read_product(made.root, "tile").threshold
    assert (rule.policy, rule.value, rule.overkill) == ("fixed", 3.5, 0.02)
    assert "# ask Maria" in (made.product("tile") / "product.yaml").read_text()
    record = json.loads(store_of(made).get(answer.json()["record"]) or b"")
    assert record["by"] == "anna (board)" and record["reason"] == WHO["reason"]


def test_a_label_is_marked_as_wrong(made):
    body = {**WHO, "image": "test/good/1.png", "label": "crack", "seen": "good"}
    assert post(client(made), "label", body).status_code == 200
    [one] = read_corrections(made.corrections("tile"))
    assert (one.path, one.entry.label, one.entry.by) == ("test/good/1.png", "crack", "anna (board)")
    again = post(client(made), "label", {**body, "label": "drop"})
    assert again.status_code == 409 and "now has the label crack" in again.json()["error"]


def test_promote_and_rollback(made):
    first, second = (one.id for one in releases(store_of(made), "tile"))
    assert leader(made) == second
    body = {**WHO, "kind": "rollback", "seen": second}
    assert post(client(made), "champion", body).status_code == 200
    assert leader(made) == first
    body = {**WHO, "kind": "promote", "release": second, "seen": first}
    assert post(client(made), "champion", body).status_code == 200
    assert leader(made) == second
    pointer = champion(store_of(made), "tile")
    assert pointer and (pointer.by, pointer.reason) == ("anna (board)", WHO["reason"])


def test_who_was_slower_is_told_to_look_again(made):
    body = threshold(made)
    assert post(client(made), "threshold", body).status_code == 200
    late = post(client(made), "threshold", {**body, "change": {"overkill": 0.5}})
    assert late.status_code == 409 and "look at the new version" in late.json()["error"]
    first, second = (one.id for one in releases(store_of(made), "tile"))
    promote(store_of(made), "tile", first, reason="r", by="otto")
    for kind in ("rollback", "promote"):
        body = {**WHO, "kind": kind, "release": first, "seen": second}
        late = post(client(made), "champion", body)
        assert late.status_code == 409 and "by otto" in late.json()["error"]
    assert leader(made) == first


def test_a_run_is_not_disturbed(made, monkeypatch):
    monkeypatch.setattr(changing, "PATIENCE", 0.1)
    with run_lock(made, what=RUN):
        answer = post(client(made), "threshold", threshold(made))
    assert answer.status_code == 423 and "a run since" in answer.json()["error"]
    assert untouched(made)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("threshold", {"change": {"value": 1}}, 422, "by: field required; reason: field required"),
        ("threshold", {**WHO, "change": {"valeu": 1}, "seen": ""}, 422, "did you mean 'value'"),
        ("threshold", {**WHO, "change": {}, "seen": "", "x": 1}, 422, "x: extra inputs"),
        ("treshold", {}, 404, "did you mean 'threshold'?"),
        ("label", {**WHO, "image": "../params.yaml", "label": "good", "seen": ""}, 422, "no image"),
        ("champion", {**WHO, "kind": "demote", "seen": ""}, 422, "kind: input should be 'promote'"),
        ("champion", {**WHO, "kind": "promote", "release": "../x", "seen": ""}, 422, "release"),
        ("champion", {**WHO, "reason": " ", "kind": "rollback", "seen": ""}, 422, "the reason"),
        ("threshold", [1], 400, "JSON object"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(made, path, body, status, words):
    answer = post(client(made), path, body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert untouched(made) and not made.corrections("tile").exists()


NO_JSON = {
    b"{": 400,
    b"\xff": 400,
    b" " * 70000: 413,
    b"[" * 60000: 400,
    b'{"token":' * 7000: 400,
    b'{"token": "\\ud800"}': 400,
    b'{"\\udfff": 1}': 400,
    b'{"token": NaN}': 400,
    b'{"token": ' + b"9" * 6000 + b"}": 400,
    b'"token"': 400,
}


@pytest.mark.parametrize("path", ["/products/tile/label", "/products/tile/threshold", "/login"])
def test_what_is_no_json_or_too_much_of_it_is_refused(made, path):
    headers = {**OURS, "Content-Type": "application/json"}
    asks = client(made)
    for content, status in NO_JSON.items():
        answer = asks.post(path, content=content, headers=headers)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), content[:40]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/pictures/tile/padim/heat/x", 422), ("/nothing", 404), ("/products/\ud800", 404)],
)
def test_every_error_is_json_with_one_key(made, path, status):
    answer = client(made).get(path.encode("utf-8", "surrogatepass").decode("latin-1"))
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert client(made).post("/progress").json() == {"error": "Method Not Allowed"}


def test_a_failure_of_the_board_is_an_answer_too(made, monkeypatch, caplog):
    def broken(_):
        raise ZeroDivisionError("the reason")

    monkeypatch.setattr("tasks.web.board.app.current_state", broken)
    answer = client(made).get("/progress")
    assert answer.status_code == 500 and "log says why" in answer.json()["error"]
    assert "the reason" in caplog.text and "the reason" not in answer.text


def test_an_unknown_product_is_no_path(made):
    for name in ("cup", "%2e%2e", "..%2f..%2fetc"):
        assert client(made).get(f"/products/{name}").status_code == 404
        assert client(made).get(f"/pictures/{name}/padim/heat/0").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["padim/heat/0", "padim/image/3", "patchcore/image/1"],
)
def test_pictures_of_evaluations_are_shown(made, path):
    asks = client(made)
    answer = asks.get(f"/pictures/tile/{path}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
    known = {"If-None-Match": answer.headers["etag"]}
    assert asks.get(f"/pictures/tile/{path}", headers=known).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        *("padim/heat/99", "padim/heat/-1", "vae/heat/0", "padim/%2e%2e/0", "images/image/0"),
        *(f"{up}etc%2fpasswd/image/0" for up in ("%2f", "..%2f..%2f")),
    ],
)
def test_no_other_file_is(made, path):
    assert client(made).get(f"/pictures/tile/{path}").status_code == 404


# Who is let in


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({"X-Inspectline": ""}, 403, "X-Inspectline"),
        ({"Content-Type": "text/plain"}, 415, "JSON"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "JSON"),
        ({"Origin": "http://evil.example"}, 403, "http://evil.example asked"),
        ({"Origin": "null"}, 403, "null asked"),
        ({"Origin": "http://localhost:9999"}, 403, "asked for this"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "another site"),
        ({"Sec-Fetch-Site": "same-site"}, 403, "another site"),
        ({"Host": "evil.example:8090"}, 421, "--name evil.example"),
        ({"Host": "localhost.evil.example"}, 421, "not known"),
        ({"Host": ""}, 421, "not known"),
        ({"Authorization": ""}, 403, "open the link"),
        ({"Authorization": "Bearer "}, 403, "open the link"),
    ],
)
def test_a_page_elsewhere_changes_nothing(made, headers, status, words):
    answer = post(client(made), "threshold", threshold(made), **headers)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
    assert untouched(made)


def test_the_page_itself_may(made):
    own = {"Origin": "http://localhost:8090", "Sec-Fetch-Site": "same-origin"}
    assert post(client(made), "threshold", threshold(made), **own).status_code == 200


@pytest.mark.parametrize("path", ["/", *LOOKS])
def test_a_name_that_points_here_by_itself_sees_nothing(made, path):
    assert client(made, host="evil.example").get(path).status_code == 421
    for host in ("localhost", "127.0.0.1", "[::1]", "192.0.2.1", "board.example", "LOCALHOST"):
        assert client(made, host=host).get(path).status_code == 200


@pytest.mark.parametrize("peer", [HERE, ELSEWHERE, ("2001:db8::1", 5), ("testclient", 5)])
@pytest.mark.parametrize("origin", [{}, {"Origin": "http://localhost:8090"}])
def test_without_a_token_everybody_looks_and_only_the_key_changes(made, peer, origin):
    """Not even this machine may: a proxy on it sends what it likes."""
    asks = client(made, peer=peer, key="")
    assert asks.get("/").status_code == 200
    assert asks.get("/progress").json()["may_change"] is False
    answer = post(asks, "threshold", threshold(made), **origin)
    assert answer.status_code == 403 and "INSPECTLINE_TOKEN" in answer.json()["error"]
    assert untouched(made)
    assert log_in(asks, KEY).status_code == 200
    assert asks.get("/progress").json()["may_change"] is True
    assert post(asks, "threshold", threshold(made), **origin).status_code == 200


def test_every_board_has_a_key_of_its_own():
    assert len(Access().key) > 20 and Access().key != Access().key
    assert Access().key not in repr(Access(key="a")) and "key" not in repr(Access())


@pytest.mark.parametrize("path", LOOKS)
@pytest.mark.parametrize("given", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", "Bearer None"])
def test_with_a_token_nothing_is_seen_without_it(made, path, given):
    asks = client(made, TOKEN)
    answer = asks.get(path, headers={"Authorization": given.encode()})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert post(asks, "threshold", threshold(made)).status_code == 401
    assert asks.get("/").headers["location"] == "/login"
    assert untouched(made)


def test_a_token_is_shown_from_anywhere(made):
    asks = client(made, TOKEN, ELSEWHERE, "192.0.2.1")
    headers = {**OURS, "Authorization": f"Bearer {TOKEN}".encode()}
    assert asks.get("/", headers=headers).status_code == 200
    answer = asks.post("/products/tile/threshold", json=threshold(made), headers=headers)
    assert answer.status_code == 200


def log_in(asks, token: str):
    return asks.post("/login", json={"token": token}, headers=OURS)


def test_a_login_lasts_and_ends(made, monkeypatch):
    monkeypatch.setattr("tasks.web.board.login.WRONG", 0.0)
    asks = client(made, TOKEN, ELSEWHERE, "board.example")
    assert asks.get("/login").status_code == 200
    assert log_in(asks, "wrong").status_code == 401 and COOKIE not in asks.cookies
    answer = log_in(asks, TOKEN)
    flags = answer.headers["set-cookie"].lower()
    assert "httponly" in flags and "samesite=strict" in flags and "secure" not in flags
    assert TOKEN not in answer.headers["set-cookie"]
    assert asks.get("/").status_code == 200
    assert post(asks, "threshold", threshold(made)).status_code == 200
    later = time.time() + access.SESSION + 1
    with monkeypatch.context() as patch:
        patch.setattr(access.time, "time", lambda: later)
        assert asks.get("/progress").status_code == 401
    assert asks.get("/progress").status_code == 200
    asks.post("/logout", json={}, headers=OURS)
    assert asks.get("/progress").status_code == 401


def test_a_login_over_tls_keeps_its_cookie_there(made):
    asks = client(made, TOKEN, host="board.example")
    headers = {**OURS, "X-Forwarded-Proto": "https"}
    answer = asks.post("/login", json={"token": TOKEN}, headers=headers)
    assert "; secure" in answer.headers["set-cookie"].lower()


def test_a_session_ends_with_its_logout_and_with_the_board(made):
    asks = client(made, TOKEN)
    log_in(asks, TOKEN)
    stolen = asks.cookies.get(COOKIE)
    thief, restarted = Client(asks.app, asks.url, ELSEWHERE), client(made, TOKEN)
    for one in (thief, restarted):
        one.cookies.set(COOKIE, stolen)
    assert thief.get("/progress").status_code == 200
    assert restarted.get("/progress").status_code == 401
    asks.post("/logout", json={}, headers=OURS)
    assert thief.get("/progress").status_code == 401


def test_sessions_are_bounded_and_the_oldest_goes(monkeypatch):
    monkeypatch.setattr(access, "MOST", 3)
    sessions = access.Sessions()
    begun = [sessions.begin() for _ in range(5)]
    assert [sessions.holder(one) is not None for one in begun] == [False, False, True, True, True]


def test_a_cookie_cannot_be_made_up(made):
    other = Access(TOKEN).sessions.begin()
    for forged in ("", ".", "1", other, other[:-1], "x" * 3000):
        asks = client(made, TOKEN)
        asks.cookies.set(COOKIE, forged)
        assert asks.get("/progress").status_code == 401, forged


def test_a_page_elsewhere_has_no_use_of_a_session(made):
    asks = client(made, TOKEN)
    log_in(asks, TOKEN)
    stranger = post(asks, "threshold", threshold(made), Origin="http://evil.example")
    assert stranger.status_code == 403 and untouched(made)


def test_wrong_tokens_keep_nobody_from_the_right_one(made, monkeypatch):
    """Forty wrong ones wait side by side, and the right one waits for none of them."""
    monkeypatch.setattr("tasks.web.board.login.WRONG", 0.5)
    asks = client(made, TOKEN)

    async def all_at_once():
        began = time.monotonic()

        async def one(token):
            body = {"json": {"token": token}, "headers": OURS}
            answer = await asks.ask("POST", "/login", body)
            return answer.status_code, time.monotonic() - began

        return await asyncio.gather(*(one(f"wrong {n}") for n in range(40)), one(TOKEN))

    *wrong, right = asyncio.run(all_at_once())
    assert {status for status, _ in wrong} == {401} and right[0] == 200
    assert right[1] < min(took for _, took in wrong) and max(took for _, took in wrong) < 10


def test_every_answer_has_its_guards(made):
    asks = client(made)
    for path in ("/", "/progress", "/nothing", "/pictures/tile/padim/heat/0"):
        headers = asks.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in ("no-store", "private, no-cache")
        assert "access-control-allow-origin" not in headers
        assert ("default-src 'none'" in headers["content-security-policy"]) == (path != "/")
    known = {"If-None-Match": asks.get("/").headers["etag"]}
    same = asks.get("/", headers=known)  # what it says would hold for the page that is kept
    assert same.status_code == 304 and "content-security-policy" not in same.headers


def test_the_page_is_made_anew_when_something_changed_and_only_then(made):
    asks = client(made)
    first = asks.get("/")
    assert first.text == asks.get("/").text
    assert asks.get("/", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    before = asks.get("/progress").json()["stamp"]
    assert post(asks, "threshold", threshold(made)).status_code == 200
    assert asks.get("/").text != first.text
    assert asks.get("/progress").json()["stamp"] != before


def test_a_store_that_is_away_takes_nothing_down(made):
    asks = client(made)
    (made.root / "params.yaml").write_text("defaults: {}\nline: {store: params.yaml}\n")
    assert asks.get("/").status_code == 200 and asks.get("/progress").status_code == 200
    assert post(asks, "threshold", threshold(made)).status_code in (503, 507)
    assert untouched(made)


def test_a_name_that_is_no_unicode_breaks_no_answer(made):
    """A file may have it, and an error names the file."""
    with Journal(made, ["validate tile"]) as journal:
        journal.begin("validate tile")
        journal.end("validate tile", "failed", "test/\udcff.png: damaged")
    told = client(made).get("/progress")
    assert told.status_code == 200 and "damaged" in told.text
    body = {**WHO, "image": "test/\udcff.png", "label": "crack", "seen": "good"}
    headers = {**OURS, "Content-Type": "application/json"}
    answer = client(made).post("/products/tile/label", content=json.dumps(body), headers=headers)
    assert answer.status_code == 400 and list(answer.json()) == ["error"]
