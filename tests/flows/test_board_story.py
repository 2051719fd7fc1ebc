"""The board in a browser, with real commands behind it: images in, a run followed and stopped, a
threshold and what came of it; and nothing for who may only look."""

import base64
import io
import json

import httpx
import pytest
from PIL import Image

from flows.commands.board import starter
from tasks.spec.read import read_product
from tasks.store.opening import store_of
from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.web.board.users import Users
from tasks.workspace.journal import journals
from tests.browser import browser
from tests.tasks.web.listeners import served

OURS = {"X-Inspectline": "board"}
DROP = """(async () => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([IMAGE], "new.png"));
  dropped.items.add(new File(["no image"], "broken.png"));
  const about = { dataTransfer: dropped, bubbles: true, cancelable: true };
  document.querySelector(".shown .drop").dispatchEvent(new DragEvent("drop", about));
})()"""


def another(image):
    """The image a little darker, as a PNG in base64."""
    file = io.BytesIO()
    Image.open(image).point(lambda value: max(0, value - 1)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


class Visit:
    """A person at a page of the board."""

    def __init__(self, tab, url, token, page):
        self.tab = tab
        tab.open(f"{url}/login#key={token}")
        tab.wait("document.querySelector('#now')")
        tab.open("about:blank")
        tab.open(f"{url}/#{page}")
        self.until("document.documentElement.dataset.role")

    def until(self, condition):
        self.tab.wait(condition)

    def shows(self, selector, text):
        """Wait until it does."""
        found = f"document.querySelector({json.dumps(selector)})?.textContent"
        self.until(f"{found}?.includes({json.dumps(text)})")

    def text(self, selector):
        return self.tab.run(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")

    def seen(self, selector):
        return self.tab.run(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")

    def click(self, selector):
        self.tab.run(f"document.querySelector({json.dumps(selector)}).click()")

    def run(self, product):
        """Start a run, once nothing else holds the workspace."""
        self.until(f"!document.querySelector('.shown [data-run={product}]').disabled")
        self.click(f".shown [data-run={product}]")
        self.confirm()

    def confirm(self):
        self.until("document.getElementById('confirm').open")
        assert not self.seen("#confirm [name=by]")  # the token says who it is
        self.click("#confirm [type=submit]")
        self.until("!document.getElementById('confirm').open")


@pytest.fixture
def tab(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.browser.PATIENCE", 180.0)  # runs on a machine that has much to do
    with browser(tmp_path) as tab:
        tab.look(1280, 900)
        yield tab


@pytest.fixture
def tokens(copy):
    return {role: Users(copy).add(f"the {role}", role) for role in ("look", "label", "promote")}


@pytest.fixture
def url(copy, prefect, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", prefect)  # or each run would start a server of its own
    app = create_app(copy, Access(users=Users(copy).now), start=starter(copy))
    with served(app) as url:
        yield url


def test_three_people_work_on_the_board(copy, tab, url, tokens):
    add_images_and_stop_a_run(copy, Visit(tab, url, tokens["label"], "p/cap"))
    set_a_threshold_and_run(copy, Visit(tab, url, tokens["promote"], "p/plate"))
    look_only(copy, url, tokens["look"])
    [error] = tab.errors  # of the file that is no image
    assert "status of 422" in error


def add_images_and_stop_a_run(copy, visit):
    assert not visit.seen(".shown [data-do=threshold]") and not visit.seen("[data-begin]")
    image = another(copy.images("cap") / "train/good/000.png")
    content = f"Uint8Array.from(atob('{image}'), (one) => one.charCodeAt(0))"
    visit.tab.run(DROP.replace("IMAGE", content))
    visit.shows(".shown .drop .told", "ready")
    assert visit.text(".shown .drop .told") == "1 image ready, 1 file refused"
    assert visit.text(".shown .drop .refused").startswith("broken.png: not an image")
    visit.click(".shown [data-drop=take]")
    visit.confirm()
    assert visit.text(".shown .drop .told").startswith("1 new image.")
    assert (copy.images("cap") / "train/good/new.png").is_file()
    visit.shows(".shown .waits", "images changed")
    visit.run("cap")
    visit.until("document.querySelector('#now .stages li')")
    assert visit.text("#now .output summary").endswith("started here by the label")
    visit.until("document.querySelector('#now .output pre').textContent")
    visit.click("[data-stop]")
    visit.confirm()
    visit.shows("#now .tag", "stopped")
    assert "by the label" in visit.text("#now .time")
    visit.shows("#now .output summary", "ended with exit code")
    visit.shows("#now .output pre", "checkpoints are kept")
    [last, *_] = journals(copy)
    assert last["by"] == "the label" and last["stopped"]["by"] == "the label"


def set_a_threshold_and_run(copy, visit):
    visit.click(".shown [data-do=threshold]")
    visit.until("document.getElementById('change').open")
    assert visit.tab.run("document.querySelector('#change [name=by]').readOnly")
    for name, value in (("policy", "fixed"), ("value", "3.25"), ("reason", "agreed")):
        visit.tab.run(f"document.querySelector('#change [name={name}]').value = '{value}'")
    policy = "document.querySelector('#change [name=policy]')"
    visit.tab.run(f"{policy}.dispatchEvent(new Event('change'))")
    visit.click("#change [type=submit]")
    visit.shows("#now .notice", "Threshold of plate")
    visit.shows(".shown .waits", "now 3.25")
    visit.run("plate")
    visit.shows("#now .output summary", "ended well")
    visit.until("document.querySelector('.shown .waits').textContent === ''")
    visit.until("!document.querySelector('#now .fresh').hidden")
    visit.tab.run("window.before = true")
    visit.click("#now .fresh button")
    visit.until("window.before === undefined && document.querySelector('.shown .history')")
    assert "the promote" in visit.text(".shown .history")
    keys = [key for key in store_of(copy).keys("records/plate/") if "-threshold-" in key]
    assert json.loads(store_of(copy).get(keys[0]) or b"")["by"] == "the promote"
    evaluated = json.loads((copy.evaluation("plate", "padim") / "threshold.json").read_text())
    assert evaluated["threshold"] == 3.25


def look_only(copy, url, token):
    """Whatever this one asks for, the server refuses it and says which role it takes."""
    why = {"reason": "r", "by": "x", "seen": ""}
    bodies = {
        "/products/plate/threshold": why | {"change": {"overkill": 0.1}},
        "/products/plate/label": why | {"image": "test/good/0.png", "label": "drop"},
        "/products/plate/champion": why | {"kind": "rollback"},
        "/runs": {"products": []},
        "/runs/stop": {"pid": 1},
        "/drops": {"product": "plate"},
    }
    headers = {**OURS, "Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as asks:
        assert asks.get("/progress").json()["role"] == "look"
        for path, body in bodies.items():
            answer = asks.post(path, json=body)
            assert answer.status_code == 403 and "needs the role" in answer.json()["error"], path
    assert read_product(copy.root, "plate").threshold.value == 3.25
