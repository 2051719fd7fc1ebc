"""The board in a browser: it moves without a reload, and the keyboard alone can change what it may.

Skipped where there is no chromium.
"""

import json
from pathlib import Path

import pytest

from tasks.products.changing import version_of
from tasks.products.set_threshold import set_threshold
from tasks.spec.corrections import read_corrections
from tasks.spec.read import read_product
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.store.releases import releases
from tasks.web.board.access import COOKIE
from tasks.workspace.journal import Journal
from tasks.workspace.lock import RUN, run_lock
from tasks.workspace.paths import Workspace
from tests.browser import Browser, browser
from tests.tasks.boards import KEY, line, listening


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        tab.look(1280, 900)
        yield tab


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    return line(tmp_path / "ws")


def shown(tab: Browser, selector: str) -> str:
    return tab.run(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")


def visit(tab: Browser, address: str, key: str = KEY) -> None:
    """Open the board there, logged in by the link that it shows, and wait for its first news."""
    if key:
        tab.open(f"{address.partition('/#')[0].rstrip('/')}/login#key={key}")
        tab.wait("document.querySelector('#now') !== null")
        tab.open("about:blank")  # or a page that differs by its hash alone would not load
    tab.open(address)
    tab.wait(
        "document.querySelector('#now .told')?.textContent.match(/run/) "
        "|| document.querySelector('[name=token]')"
    )


def tab_to(tab: Browser, selector: str) -> None:
    """Press Tab until this has the focus: a person without a mouse must get there."""
    for _ in range(200):
        if tab.run(f"document.activeElement.matches({json.dumps(selector)})"):
            return
        tab.press("Tab")
    raise AssertionError(f"the keyboard does not reach {selector}")


def type_in(tab: Browser, selector: str, text: str) -> None:
    tab_to(tab, selector)
    tab.run("document.activeElement.select?.()")
    tab.press(*text)


def confirm(tab: Browser, name: str = "anna", why: str = "seen") -> None:
    """Fill in who and why, send it, and wait for the page that tells of it."""
    type_in(tab, "#change [name=by]", name)
    type_in(tab, "#change [name=reason]", why)
    tab_to(tab, "#change [type=submit]")
    tab.run("window.before = true")
    tab.press("Enter")
    tab.wait("window.before === undefined && document.querySelector('#now .notice')?.textContent")


def test_every_page_opens_without_an_error_or_another_host(made, tab):
    tab.errors.clear()
    tab.requests.clear()
    with listening(made) as url:
        visit(tab, f"{url}/")
        pages = tab.run("[...document.querySelectorAll('.page')].map((page) => page.id)")
        assert {"overview", "p/tile", "p/tile/padim"} <= set(pages)
        for page in pages:
            tab.run(f"location.hash = {json.dumps(page)}")
            tab.wait(f"document.querySelector('.page.shown').id === {json.dumps(page)}")
        tab.wait("document.querySelector('#now .told').textContent.includes('no run yet')")
    assert tab.errors == []
    assert all(request.startswith((url, "data:")) for request in tab.requests), tab.requests
    assert any("/pictures/tile/padim/" in request for request in tab.requests)


def test_nothing_is_wider_than_a_phone(made, tab):
    tab.look(390, 844)
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile")
        for what in ("0", "document.querySelector('.shown [data-do=threshold]').click()"):
            tab.run(what)
            assert tab.run("document.documentElement.scrollWidth") <= 390
        tab.wait("document.getElementById('change').open")
        box = "document.getElementById('change').getBoundingClientRect()"
        assert tab.run(f"{box}.left") >= 0 and tab.run(f"{box}.right") <= 390
    tab.look(1280, 900)


def test_a_run_is_followed_without_a_reload(made, tab, monkeypatch):
    monkeypatch.setattr("tasks.workspace.journal.EVERY", 0.0)
    with listening(made) as url:
        visit(tab, f"{url}/")
        tab.run("window.before = true")
        with Journal(made, ["fit tile padim", "gate tile"]) as journal:
            journal.record["pid"] += 1  # another process than that of the next run
            journal.begin("fit tile padim", "cpu")
            journal.tell("fit tile padim", "learn 1/2", 0.25, {"loss": 0.5})
            tab.wait("document.querySelector('#now progress')?.value === 0.25")
            assert shown(tab, "#now .step") == "learn 1/2 loss 0.5"
            assert "0 of 2 stages" in shown(tab, "#now .told")
            assert tab.run("document.title").startswith("0 % ")
            journal.tell("fit tile padim", "learn 2/2", 0.75, {})
            tab.wait("document.querySelector('#now progress')?.value === 0.75")
            journal.end("fit tile padim", "failed", "<b>no</b> image")
        tab.wait("document.querySelector('#now .tag')?.textContent === 'failed'")
        assert shown(tab, "#now .told") == "the last run failed in 1 of 2 stages"
        with run_lock(made, what=RUN):
            tab.wait("document.querySelector('#now .tag')?.textContent === 'planning'")
        assert tab.run("document.querySelector('#now progress')") is None
        assert shown(tab, "#now .failed pre") == "<b>no</b> image"
        assert tab.run("window.before")


def test_a_run_that_is_gone_shows_as_killed(made, tab):
    journal = Journal(made, ["fit tile padim"]).__enter__()
    journal.begin("fit tile padim")
    with listening(made) as url:
        visit(tab, f"{url}/")
        tab.wait("document.querySelector('#now .tag')?.textContent === 'working'")
        journal._lock.close()  # as the operating system does with a process that dies
        tab.wait("document.querySelector('#now .tag')?.textContent === 'killed'")
        assert "was killed" in shown(tab, "#now .failed pre")


def test_newer_results_are_offered_and_not_forced(made, tab):
    with listening(made) as url:
        visit(tab, f"{url}/")
        tab.wait("document.querySelector('#now .told').textContent !== 'asking…'")
        assert tab.run("document.querySelector('#now .fresh').hidden")
        set_threshold(made, "tile", {"value": 5.0}, by="otto", reason="r")
        tab.wait("!document.querySelector('#now .fresh').hidden")


def test_the_keyboard_sets_a_threshold(made, tab):
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile")
        tab_to(tab, ".shown [data-do=threshold]")
        tab.press("Enter")
        tab.wait("document.getElementById('change').open")
        assert "auto, overkill 0.02" in shown(tab, "#change .what")
        type_in(tab, "#change [name=overkill]", "0.05")
        confirm(tab)
        assert "Threshold of tile" in shown(tab, "#now .notice")
        history = shown(tab, "[id='p/tile'] .history")
        assert "anna (board)" in history and "overkill 0.02 → auto" in history
    rule = read_product(made.root, "tile").threshold
    assert (rule.policy, rule.overkill) == ("auto", 0.05)


def test_the_slider_s_value_is_set_with_every_digit(made, tab):
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile/padim")
        tab_to(tab, ".shown .slider [name=step]")
        tab.press("ArrowRight")
        value = tab.run("document.querySelector('.shown .slider').dataset.value")
        tab_to(tab, ".shown [data-do=here]")
        tab.press("Enter")
        tab.wait("document.getElementById('change').open")
        assert "present thresholds: padim 2.000, patchcore 2.000" in shown(tab, "#change .warning")
        confirm(tab)
    rule = read_product(made.root, "tile").threshold
    assert rule.policy == "fixed" and rule.value == float(value)


def test_the_keyboard_marks_a_label(made, tab):
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile/padim")
        tab_to(tab, ".shown .tiles:not(.edge) button")
        tab.press("Enter")
        tab.wait("document.getElementById('viewer').open")
        path = tab.run("document.getElementById('viewer').dataset.path")
        tab_to(tab, "#viewer [data-do=label]")
        tab.press("Enter")
        tab.wait("document.getElementById('change').open")
        type_in(tab, "#change [name=label]", "drop")
        confirm(tab)
    [one] = read_corrections(made.corrections("tile"))
    assert (one.path, one.entry.label, one.entry.why) == (path, "drop", "seen")


def test_a_good_image_that_sets_the_threshold_is_marked_where_it_is_shown(made, tab):
    (made.product("tile") / "dvc.lock").write_text("stages: {validate: {deps: []}}")  # it ran
    file = made.evaluation("tile", "padim") / "details.json"
    edge = {"images": [{"path": "train/good/0.png", "score": 1.9}], "of": 5, "odd": 0}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"edge": edge}))
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile/padim")
        tab_to(tab, ".shown .edge [data-do=edge]")
        tab.press("Enter")
        tab.wait("document.getElementById('change').open")
        type_in(tab, "#change [name=label]", "drop")
        confirm(tab)
        tab.wait("!document.querySelector('#now .pending').hidden")
        assert "tile: corrections.yaml changed" in shown(tab, "#now .pending")
    marked = {one.path: one.entry.label for one in read_corrections(made.corrections("tile"))}
    assert marked["train/good/0.png"] == "drop"


def test_the_keyboard_rolls_back_and_promotes(made, tab):
    first, second = (one.id for one in releases(store_of(made), "tile"))
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile")
        for action, leader in (("rollback", first), ("promote", second)):
            tab_to(tab, f".shown [data-do={action}]")
            tab.press("Enter")
            tab.wait("document.getElementById('change').open")
            confirm(tab, why=action)
            pointer = champion(store_of(made), "tile")
            assert pointer and (pointer.release, pointer.reason) == (leader, action)


def test_what_somebody_else_changed_meanwhile_stands_and_is_told(made, tab):
    spec = made.product("tile") / "product.yaml"
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile")
        tab_to(tab, ".shown [data-do=threshold]")
        tab.press("Enter")
        tab.wait("document.getElementById('change').open")
        set_threshold(made, "tile", {"value": 5.0}, by="otto", reason="r")
        before = version_of(spec)
        type_in(tab, "#change [name=overkill]", "0.05")
        type_in(tab, "#change [name=by]", "anna")
        type_in(tab, "#change [name=reason]", "seen")
        tab_to(tab, "#change [type=submit]")
        tab.press("Enter")
        tab.wait("!document.querySelector('#change [role=alert]').hidden")
        assert "look at the new version" in shown(tab, "#change [role=alert]")
        tab.press("Escape")
        tab.wait("!document.getElementById('change').open")
    assert version_of(spec) == before
    tab.errors.clear()  # the browser notes every answer of 409


def test_a_token_is_asked_for_once_and_leads_back(made, tab):
    tab.errors.clear()
    with listening(made, "secret") as url:
        visit(tab, f"{url}/#p/tile", key="")
        tab.wait("document.activeElement.name === 'token'")
        tab.press(*"secret", "Enter")
        tab.wait("document.querySelector('.page.shown')?.id === 'p/tile'")
        assert COOKIE not in tab.run("document.cookie")
        tab_to(tab, "#now .logout")
        tab.press("Enter")
        tab.wait("document.querySelector('[name=token]')")
    assert tab.errors == []


def test_without_the_right_to_change_there_are_no_buttons(made, tab):
    with listening(made) as url:
        visit(tab, f"{url}/#p/tile", key="")
        tab.wait("document.documentElement.classList.contains('readonly')")
        assert not tab.run("document.querySelector('.shown [data-do]').checkVisibility()")
