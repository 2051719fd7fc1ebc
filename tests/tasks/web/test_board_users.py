"""People with a token and a role: who may do what on the board, and when that ends."""

import json
import threading

import pytest

from tasks.spec.corrections import read_corrections
from tasks.store.opening import store_of
from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.web.board.users import ROLES, Users
from tasks.workspace.errors import WorkspaceError
from tests.tasks.boards import KEY, Client, line
from tests.tasks.web.test_board import HERE, OURS, log_in, post, threshold, untouched

LABEL = {"reason": "seen", "image": "test/good/1.png", "label": "crack", "seen": "good"}


@pytest.fixture
def made(tmp_path):
    return line(tmp_path / "ws")


@pytest.fixture
def users(made):
    return Users(made)


def client(made, token="", own=""):
    """A client who shows a token to a board that knows the users. own: the token of the board."""
    app = create_app(made, Access(own, key=KEY, users=Users(made).now))
    found = Client(app, "http://localhost:8090", HERE)
    found.headers = {"Authorization": f"Bearer {token}"} if token else {}
    return found


def test_with_users_nobody_looks_without_a_token(made, users):
    assert client(made).get("/progress").json()["role"] == ""
    token = users.add("otto", "look")
    assert client(made).get("/progress").status_code == 401
    assert client(made, token + "x").get("/progress").status_code == 401
    told = client(made, token).get("/progress").json()
    assert (told["user"], told["role"], told["may_change"]) == ("otto", "look", False)
    users.remove("otto")  # nobody is left, and it is no open house again
    assert client(made).get("/progress").status_code == 401
    told = client(made, KEY).get("/progress").json()
    assert (told["user"], told["role"], told["may_change"]) == ("", "promote", True)
    assert client(made, "own", own="own").get("/progress").json()["role"] == "promote"


def test_each_role_may_do_what_it_may_and_is_told_what_it_lacks(made, users):
    bodies = {"label": LABEL, "threshold": threshold(made), "champion": {"reason": "r"}}
    needs = {"label": "label", "threshold": "promote", "champion": "promote"}
    for role in ROLES:
        asks = client(made, users.add(f"the {role}", role))
        for kind, body in bodies.items():
            answer = post(asks, kind, body)
            if ROLES.index(role) < ROLES.index(needs[kind]):
                text = f"this needs the role {needs[kind]}, and the {role} has the role {role}"
                assert (answer.status_code, answer.json()["error"]) == (403, text)
            else:
                assert answer.status_code != 403
        headers = {**OURS, "Content-Type": "application/octet-stream"}
        tried = asks.post("/products/tile/try", headers=headers)
        assert (tried.status_code == 403) == (role == "look")
        assert untouched(made) == (role != "promote")


def test_records_have_the_name_of_the_token_and_no_other(made, users):
    asks = client(made, users.add("anna", "promote"))
    assert post(asks, "label", LABEL | {"by": "the boss"}).status_code == 200
    [one] = read_corrections(made.corrections("tile"))
    assert one.entry.by == "anna"
    answer = post(asks, "threshold", threshold(made))
    assert json.loads(store_of(made).get(answer.json()["record"]) or b"")["by"] == "anna"


def test_a_removed_user_s_sessions_end_and_a_fresh_token_does_not_revive_them(made, users):
    token = users.add("anna", "label")
    asks = client(made)
    assert log_in(asks, token).status_code == 200
    assert asks.get("/progress").json()["user"] == "anna"
    users.remove("ANNA")
    assert asks.get("/progress").status_code == 401 and log_in(asks, token).status_code == 401
    again = users.add("anna", "promote")
    assert again != token and asks.get("/progress").status_code == 401
    assert log_in(asks, again).status_code == 200
    assert asks.get("/progress").json()["role"] == "promote"


def test_only_a_hash_is_kept_and_never_in_git(made, users):
    token = users.add("anna", "look")
    text = users.path.read_text()
    assert token not in text and "anna" in text
    assert users.path.is_relative_to(made.scratch)


@pytest.mark.parametrize("name", ["", " ", "anna (board)", "a\nb", "a/b", "x" * 65, "\u202ea"])
def test_a_name_that_cannot_stand_in_a_record_is_refused(users, name):
    with pytest.raises(WorkspaceError, match="cannot name a user"):
        users.add(name, "look")
    assert users.now() is None


def test_one_name_is_one_person(users):
    users.add("Änna", "look")
    for name in ("änna", "A\u0308nna", "Änna"):
        with pytest.raises(WorkspaceError, match="is a user already"):
            users.add(name, "promote")
    with pytest.raises(WorkspaceError, match=r"did you mean 'Änna'\?"):
        users.remove("Ännaa")


DAMAGED = ["", "{}", "[{}]", '[{"name": "a", "role": "god"}]', "\xff", "[1]"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_opens_the_board_to_nobody(made, users, text):
    made.scratch.mkdir()
    users.path.write_text(text, "latin-1")
    with pytest.raises(WorkspaceError, match="cannot be read"):
        users.now()
    asks = client(made)
    assert asks.get("/progress").status_code >= 400 and asks.get("/").status_code != 200
    assert post(asks, "threshold", threshold(made)).status_code >= 400 and untouched(made)


def test_those_who_are_added_at_once_are_all_there(made, users):
    names = [f"user {n}" for n in range(8)]
    threads = [threading.Thread(target=Users(made).add, args=(name, "look")) for name in names]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(one.name for one in users.now() or []) == names
