"""The report in a browser: silent, self-contained, exact, and whole for the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.decisions.threshold import classify_score
from tasks.models.figures import TestResult as EvaluationResult
from tasks.models.figures import figures
from tasks.report import write_report
from tasks.spec.schema import Cost
from tests.browser import Browser, browser
from tests.tasks.workspaces import cell, validated, workspace, write_decision

random = np.random.default_rng(0)
LABELS = ["good"] * 40 + ["crack"] * 25 + ["stain"] * 15
PATHS = [f"test/{label}/{number:03d}.png" for number, label in enumerate(LABELS)]
CRITICAL = {"crack": "critical", "stain": "major"}


def drawn(shift: float) -> list[tuple[str, str, float, str]]:
    """Rows of a model that tells defects apart by `shift`; its threshold is 2."""
    scores = random.normal(1, 0.7, len(LABELS)) + shift * (np.array(LABELS) != "good")
    return [
        (path, label, float(score), classify_score(float(score), 2.0))
        for path, label, score in zip(PATHS, LABELS, scores, strict=True)
    ]


MODELS = {"padim": drawn(1.3), "patchcore": drawn(0.7)}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = workspace(tmp_path_factory.mktemp("report") / "ws")
    for algorithm, rows in MODELS.items():
        details: dict[str, Any] = {"image_auroc": 0.9, "ms_per_image": 20.0}
        cell(made, algorithm=algorithm, rows=rows, severities=CRITICAL, **details)
    review = [
        (path, label, score, classify_score(score, 2.0, 1.5))
        for path, label, score, _ in MODELS["padim"]
    ]
    cell(made, "gear", rows=review, accept=1.5)
    write_decision(made, accepted=False)
    validated(made)
    return write_report(made)


@pytest.fixture
def at(tab: Browser, page: Path) -> Iterator[Any]:
    """A function that turns to a page of the report; afterwards, nothing may have gone wrong."""
    tab.errors.clear()
    tab.requests.clear()
    tab.look(1200, 900)
    tab.open("about:blank")
    tab.open(page.as_uri())

    def turn(name: str) -> Browser:
        if name:
            tab.run(f"location.hash = {name!r}")
            tab.wait(f"document.querySelector('.page.shown')?.id === {name!r}")
        return tab

    yield turn
    assert tab.errors == []
    outside = [one for one in tab.requests if not one.startswith(("file://", "data:", "about:"))]
    assert outside == []


def counted(tab: Browser, where: str, name: str = "count") -> Any:
    return tab.run(f"document.querySelector('.page.shown {where}').elements.{name}.value")


def choose_threshold(tab: Browser, name: str, value: str) -> None:
    """Take a choice of the page's form."""
    field = f"document.querySelector('.page.shown form.bar').elements.{name}"
    tab.run(f"{field}.value = {value!r}")
    tab.run(f"{field}.dispatchEvent(new Event('input', {{bubbles: true}}))")


def paths(tab: Browser) -> list[str]:
    found = tab.run("[...document.querySelectorAll('.page.shown .tiles .path')].map(e => e.title)")
    return list(found)


def test_every_page_opens_without_a_complaint_or_a_request(at: Any) -> None:
    for name in at("overview").run("pages.map(page => page.id)"):
        tab = at(name)
        assert tab.run("document.querySelectorAll('.page.shown').length") == 1
        assert tab.run("document.querySelector('.page.shown h1').offsetHeight") > 0
    tab.run("location.hash = 'everything'")
    tab.wait("pages.every(page => page.offsetHeight > 0)")


@pytest.mark.parametrize(("product", "accept"), [("tile", None), ("gear", 1.5)])
def test_the_slider_counts_as_the_command_line(at: Any, product: str, accept: float | None) -> None:
    tab = at(f"p/{product}/padim")
    rows = MODELS["padim"]
    scores = [score for _, _, score, _ in rows]
    tried = [-9.0, *np.quantile(scores, [0.1, 0.3, 0.45, 0.6, 0.8]), scores[3], 2.0, 1.5, 99.0]
    for value in tried:
        shown = tab.run(f"""(() => {{
            const form = document.querySelector(".page.shown .slider");
            form.elements.exact.value = {float(value)!r};
            form.elements.exact.dispatchEvent(new Event("input"));
            const cells = [...form.querySelectorAll("[data-count]")];
            return [Object.fromEntries(cells.map((c) => [c.dataset.count, Number(c.textContent)])),
                    ...["miss", "overkill", "review"].map((n) => form.elements[n].value)];
        }})()""")
        result = EvaluationResult([{"path": path, "label": label} for path, label, *_ in rows])
        result.scores = scores
        result.decisions = [classify_score(score, float(value), accept) for score in scores]
        expected = figures(result, Cost())
        names = ("miss", "overkill", "review")
        assert shown[1:] == [f"{expected[name]:.1%}" for name in names], value
        for key, count in shown[0].items():
            label, kind = key.split(".")
            word = {"accepted": "good", "review": "review", "rejected": "defect"}[kind]
            pairs = zip(LABELS, result.decisions, strict=True)
            mine = [taken for of, taken in pairs if (of == "good") == (label == "good")]
            assert count == mine.count(word), (value, key)


def test_pictures_of_the_data_page_come_when_it_is_opened(at: Any) -> None:
    tab = at("p/tile/data")
    tab.wait("[...document.querySelectorAll('.page.shown .original')].every(e => e.naturalWidth)")


def test_a_tried_threshold_moves_the_marks_and_the_gallery(at: Any) -> None:
    tab = at("p/tile/padim")
    choose_threshold(tab, "outcome", "missed")
    before = counted(tab, "form.bar")
    tab.run("document.querySelector('.page.shown .slider').elements.step.focus()")
    tab.press("End")
    tab.wait(f"document.querySelector('.page.shown form.bar').elements.count.value !== {before!r}")
    assert counted(tab, "form.bar") == "40 of 80 images"  # nothing is rejected any more
    marks = "[...document.querySelectorAll('.page.shown .tried')].every(e => e.matches('.shown'))"
    assert tab.run(marks)
    tab.run("document.querySelector('.page.shown .slider').elements.back.click()")
    assert counted(tab, ".slider", "exact") == "2" and not tab.run(marks)


def test_the_gallery_is_worst_first_and_filtered(at: Any) -> None:
    tab = at("p/tile/padim")
    by_wrong = sorted(
        MODELS["padim"], key=lambda row: (row[2] - 2) * (1 if row[1] == "good" else -1)
    )
    assert paths(tab) == [row[0] for row in reversed(by_wrong)][:48]
    tab.run("document.querySelector('.page.shown .more button').click()")
    assert len(paths(tab)) == 80
    choose_threshold(tab, "label", "stain")
    assert len(paths(tab)) == 15 and all("stain" in path for path in paths(tab))
    choose_threshold(tab, "label", "")
    choose_threshold(tab, "severity", "critical")
    assert len(paths(tab)) == 25 and all("crack" in path for path in paths(tab))
    choose_threshold(tab, "outcome", "missed")
    missed = {row[0] for row in MODELS["padim"] if row[1] == "crack" and row[3] == "good"}
    assert set(paths(tab)) == missed and missed
    choose_threshold(tab, "order", "path")
    assert paths(tab) == sorted(missed)


def test_panes_show_what_is_asked_for_and_there(at: Any) -> None:
    tab = at("p/tile/padim")
    boxes = "document.querySelectorAll('.page.shown [name=pane]')"
    tab.run(f"{boxes}.forEach(box => box.checked || box.click())")
    kinds = tab.run(
        "[...document.querySelector('.page.shown .tiles li').querySelectorAll('.pane')]"
        ".map(e => e.classList[1])"
    )
    assert kinds[:4] == ["image", "heat", "contour", "mask"]
    has = "document.querySelectorAll('.page.shown .pane.rebuilt').length"
    assert 0 < tab.run(has) < tab.run("document.querySelectorAll('.page.shown .tiles li').length")
    tab.wait("document.querySelector('.page.shown .pane.heat .heat').naturalWidth === 64")
    drawn = "[...document.querySelectorAll('.page.shown .contour .line.found')]"
    assert tab.run(f"{drawn}.some(e => e.getAttribute('d')?.startsWith('M'))")


def test_two_models_are_compared_on_the_same_images(at: Any) -> None:
    tab = at("p/tile/compare")
    wrong = {
        key: {p for p, label, _, taken in rows if (taken == "good") != (label == "good")}
        for key, rows in MODELS.items()
    }
    only_a, only_b = wrong["padim"] - wrong["patchcore"], wrong["patchcore"] - wrong["padim"]
    choose_threshold(tab, "outcome", "a")
    assert set(paths(tab)) == only_a
    choose_threshold(tab, "outcome", "differ")
    assert set(paths(tab)) == only_a | only_b
    cells = "[...document.querySelectorAll('.page.shown [data-count]')].map(c => +c.textContent)"
    counts = np.array(tab.run(cells)).reshape(2, 4).sum(0)
    both = len(wrong["padim"] & wrong["patchcore"])
    assert list(counts) == [80 - len(only_a | only_b) - both, len(only_a), len(only_b), both]
    choose_threshold(tab, "a", "patchcore")
    choose_threshold(tab, "outcome", "a")
    assert counted(tab, "form.bar").startswith("0 of 80")  # B is patchcore too


def test_the_keyboard_alone_does_everything(at: Any) -> None:
    tab = at("")
    focused = "document.activeElement"
    reached = set()
    for _ in range(60):
        tab.press("Tab")
        reached.add(tab.run(f"{focused}.hash ?? ''"))
        if tab.run(f"{focused}.closest('.cards') && {focused}.hash === '#p/tile'"):
            break
    assert {"#content", "#leaderboard", "#p/tile"} <= reached
    tab.press("Enter")
    tab.wait("document.querySelector('.page.shown').id === 'p/tile'")
    tab = at("p/tile/padim")
    tab.run("document.querySelector('.page.shown .slider').elements.step.focus()")
    value = counted(tab, ".slider", "exact")
    tab.press("ArrowRight")
    assert float(counted(tab, ".slider", "exact")) > float(value)
    for _ in range(40):
        tab.press("Tab")
        if tab.run(f"{focused}.matches('.panes')"):
            break
    tab.press("Enter")
    tab.wait("document.getElementById('viewer').open")
    first = tab.run("document.getElementById('viewer').dataset.path")
    assert first == paths(tab)[0]
    tab.press("ArrowRight")
    assert tab.run("document.getElementById('viewer').dataset.path") == paths(tab)[1]
    tab.press("Escape")
    tab.wait("!document.getElementById('viewer').open")
    tile = f"{focused}.closest('li')?.querySelector('.path').title"
    seen = tab.run("document.getElementById('viewer').dataset.path")
    tab.wait(f"{tile} === {seen!r}")  # on the tile of what was seen last


def test_the_leaderboard_sorts_by_the_keyboard(at: Any) -> None:
    tab = at("leaderboard")
    order = "[...document.querySelectorAll('#table tbody tr')].map(r => r.cells[0].textContent)"
    assert tab.run(order) == ["gear", "tile", "tile"]
    tab.run("document.querySelector('#table th[data-better] button').focus()")
    tab.press("Enter")
    assert tab.run(order)[:2] == ["tile", "tile"]
    assert (
        tab.run("document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    )


def test_light_dark_phone_and_paper(at: Any) -> None:
    tab = at("p/tile/padim")
    paper = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    light = tab.run(paper)
    tab.look(1200, 900, dark=True)
    dark = tab.run(paper)
    assert min(light) > 200 and max(dark) < 60
    tab.look(390, 844)
    for name in ("overview", "leaderboard", "p/tile", "p/tile/padim", "p/tile/compare"):
        at(name)
        assert tab.run("document.documentElement.scrollWidth") <= 390, name
    tab.look(800, 1100, dark=True, printed=True)
    assert (
        min(
            tab.run("getComputedStyle(document.documentElement).getPropertyValue('--ink')")
            and tab.run(
                "getComputedStyle(document.querySelector('h1')).color.match(/[0-9]+/g).map(Number)"
            )
        )
        < 60
    )
    assert (
        tab.run("getComputedStyle(document.querySelector('.page.shown form.bar')).display")
        == "none"
    )


def test_a_release_can_be_compared_with_a_cell(tmp_path: Path, tab: Browser) -> None:
    """What was published stays comparable after the cell has changed."""
    from tasks.documents.manifest import About
    from tasks.documents.metrics import METRICS, GateMetrics
    from tasks.store.champion import promote
    from tasks.store.opening import store_of
    from tasks.store.releases import publish, store_pictures

    made = workspace(tmp_path / "ws")
    folder = cell(made, rows=MODELS["patchcore"])
    store = store_of(made)
    metrics = GateMetrics.read(folder / METRICS)
    release = publish(folder, "tile", store, About(algorithm="padim", metrics=metrics))
    store_pictures(store, made, "tile", "padim", release)
    promote(store, "tile", release, reason="it is the first", by="anna")
    cell(made, rows=MODELS["padim"], ms_per_image=13.0)
    tab.errors.clear()
    tab.open(write_report(made).as_uri() + "#p/tile/compare")
    tab.wait("document.querySelectorAll('.page.shown .tiles li').length > 0")
    options = tab.run(
        "[...document.querySelectorAll('.page.shown [name=b] option')].map(o => o.value)"
    )
    assert options == ["padim", f"release-{release}"]
    assert (
        tab.run(
            "document.querySelectorAll('.page.shown .tiles li')[0].querySelectorAll('.heat').length"
        )
        == 2
    )
    assert "it is the first" in tab.run("document.getElementById('p/tile').textContent")
    assert tab.errors == []
    cell(made, rows=MODELS["patchcore"])
    tab.open(write_report(made).as_uri())
    assert "★" in tab.run("document.querySelector('.tabs').textContent")  # the cell is the release
    assert not tab.run("document.querySelectorAll('.page.shown [name=b] option').length")


def test_the_overview_shows_each_product_by_its_parts(at: Any) -> None:
    tab = at("overview")
    link = "e.querySelector('h3 a').hash === '#p/tile'"
    card = f"[...document.querySelectorAll('.card')].find(e => {link})"
    titles = tab.run(f"[...{card}.querySelectorAll('figcaption')].map(e => e.textContent)")
    assert titles[0].startswith("a good part") and [title.split(":")[0] for title in titles][
        1:
    ] == [*("the worst defect found", "the worst defect missed")]
    said = tab.run(f"{card}.querySelector('.big').textContent")
    assert said.startswith("Of 100 defects about ")
    tab.wait("document.querySelectorAll('.cards .faces .image').length === 6")  # gear and tile
    tab.run(f"{card}.querySelectorAll('.faces button')[2].click()")
    tab.wait("document.getElementById('viewer').open")
    missed = min(
        (r for r in MODELS["padim"] if r[1] != "good" and r[3] == "good"), key=lambda r: r[2]
    )
    assert tab.run("document.getElementById('viewer').dataset.path") == missed[0]


def test_the_large_pictures_are_zoomed_and_moved_together(at: Any) -> None:
    tab = at("p/tile/padim")
    tab.wait("document.querySelector('.page.shown .tiles .panes')")
    tab.run("document.querySelector('.page.shown .tiles .panes').click()")
    tab.wait("document.getElementById('viewer').open")
    panes = "[...document.querySelectorAll('.large .pane')]"
    placed = f"{panes}.map(e => getComputedStyle(e.querySelector('img, svg')).transform)"

    def times() -> float:
        return float(tab.run(f"{placed}[0]").removeprefix("matrix(").split(",")[0])

    assert times() == 1
    tab.run(f"""{panes}[1].dispatchEvent(new WheelEvent("wheel", {{deltaY: -300, bubbles: true,
        cancelable: true, clientX: {panes}[1].getBoundingClientRect().left + 5,
        clientY: {panes}[1].getBoundingClientRect().top + 5}}))""")
    assert times() == pytest.approx(1.4**3, rel=1e-3)
    assert len(set(tab.run(placed))) == 1 and len(tab.run(placed)) >= 3
    before = tab.run(f"{placed}[0]")
    press = "document.getElementById('viewer').dispatchEvent(new KeyboardEvent('keydown', {}))"
    tab.run(press.replace("{}", "{key: 'ArrowRight', shiftKey: true}"))
    assert tab.run(f"{placed}[0]") != before and len(set(tab.run(placed))) == 1
    path = tab.run("document.getElementById('viewer').dataset.path")
    tab.press("ArrowRight")  # another picture, at the same place
    assert tab.run("document.getElementById('viewer').dataset.path") != path and times() > 2
    tab.run(press.replace("{}", "{key: '0'}"))
    assert times() == 1
    told = tab.run("document.querySelector('#viewer .keys').textContent")
    assert all(word in told for word in ("wheel or pinch", "Shift", "Esc"))


def test_where_no_mask_is_drawn_there_is_no_black_tile(at: Any) -> None:
    tab = at("p/tile/padim")
    choose_threshold(tab, "label", "good")
    tab.run("document.querySelector('.page.shown .gallery [name=pane][value=mask]').click()")
    tab.wait("document.querySelector('.page.shown .gallery .tiles li .pane')")
    assert tab.run("document.querySelectorAll('.page.shown .gallery .pane.mask').length") == 0


def test_the_slider_takes_round_thresholds_that_decide_the_same(at: Any) -> None:
    tab = at("p/tile/padim")
    scores = sorted(row[2] for row in MODELS["padim"])
    tab.run("document.querySelector('.page.shown .slider').elements.step.focus()")
    for _ in range(5):
        tab.press("ArrowRight")
        text = counted(tab, ".slider", "exact")
        step = int(counted(tab, ".slider", "step"))
        assert scores[step - 1] <= float(text) < scores[step]
        assert len(text) <= 7, text


def test_two_fingers_zoom_a_picture(at: Any) -> None:
    tab = at("p/tile/padim")
    tab.run("document.querySelector('.page.shown .gallery .tiles button').click()")
    tab.wait("document.getElementById('viewer').open")
    box = "document.querySelector('#viewer .large .pane').getBoundingClientRect()"
    x, y = (tab.run(f"{box}.{side} + 60") for side in ("left", "top"))
    for kind, apart in (("touchStart", 20), ("touchMove", 30), ("touchMove", 60), ("touchEnd", 0)):
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        touches = points if kind != "touchEnd" else []
        tab.call("Input.dispatchTouchEvent", type=kind, touchPoints=touches)
    tab.wait("parseFloat(document.querySelector('#viewer [name=zoom]').value) >= 1.9")


def test_the_threshold_shows_few_digits_and_keeps_all(at: Any) -> None:
    tab = at("p/tile/padim")
    score = max(row[2] for row in MODELS["padim"] if row[2] < 2.0)
    exact = 2.000000123456789
    near = score + 1e-9  # with four digits it would decide otherwise
    for threshold, shown in ((exact, "2"), (near, None)):
        tab.run(f"modelOf('tile', 'padim').threshold = {threshold!r}")
        tab.run("document.querySelector('.page.shown .slider').elements.back.click()")
        assert tab.run("Number(document.querySelector('.page.shown .slider').dataset.value)") == (
            threshold
        )
        text = counted(tab, ".slider", "exact")
        assert text == shown or (shown is None and score <= float(text) < 2.0)


def test_the_file_holds_chinese_too_and_begins_in_english(at: Any) -> None:
    tab = at("p/tile/padim")
    assert tab.run("document.documentElement.lang") == "en"
    tab.run("[...document.querySelectorAll('.languages button')].at(-1).click()")
    tab.wait("document.documentElement?.lang === 'zh-CN' && document.readyState === 'complete'")
    tab.wait("document.querySelector('.page.shown .gallery .outcome')")
    shown = tab.run("document.querySelector('.page.shown').innerText")
    assert "每 100 个缺陷约漏检" in shown and "测试图像" in shown and "漏检" in shown
    choose_threshold(tab, "outcome", "missed")  # a choice means what it meant
    assert tab.run("document.querySelector('.page.shown .tiles .outcome').textContent") == "漏检"
    tab.run("document.querySelector('.languages button').click()")
    tab.wait("document.documentElement?.lang === 'en' && document.readyState === 'complete'")
