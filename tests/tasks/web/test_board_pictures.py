"""A person works with pictures on the board: tries one, judges labels, draws a mask, looks on."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.decisions.threshold import choose_threshold
from tasks.documents.decision import Check
from tasks.documents.metrics import Metrics
from tasks.documents.prediction import Prediction
from tasks.images.read_image import read_mask
from tasks.metrics.comparison import Comparison, CostDifference
from tasks.monitoring.log import PredictionLog
from tasks.promotion.challenge import Challenge
from tasks.promotion.decision import failure
from tasks.reporting.decision_lines import outcome
from tasks.spec.corrections import read_corrections
from tasks.spec.schema import Rule
from tasks.workspace.files import write_json, write_rows
from tasks.workspace.paths import Workspace, find
from tests.browser import Browser, browser
from tests.tasks.boards import KEY, listening
from tests.tasks.reporting.page_texts import LEFT, script_texts, template_texts
from tests.tasks.web.test_serving import make_line
from tests.tasks.workspaces import cell

NAMES = ("padim", "patchcore", "fcdd")
# scores rise by one: the least anomalous is called a crack, the two most anomalous good
LABELS = ["crack", *["good"] * 14, *["crack"] * 14, "good", "good"]
PATHS = [f"test/{label}/{score:02}.png" for score, label in enumerate(LABELS)]
LAST = "test/crack/28.png"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Product `plate`: a champion, three evaluated cells that doubt three labels, a log."""
    made = find(make_line(tmp_path_factory.mktemp("line")))
    rows = [
        (path, label, float(score), "defect" if score > 14.5 else "good")
        for score, (path, label) in enumerate(zip(PATHS, LABELS, strict=True))
    ]
    for name in NAMES:
        cell(made, "plate", name, rows, threshold=14.5)
    for path in PATHS:
        file = made.images("plate") / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((48, 64, 3), 100, np.uint8)).save(file)
    counts = {"test_good": 16, "test_defective": 15, "defects": {"crack": 15}}
    write_json(made.validation("plate") / "result.json", {"passed": True, "counts": counts})
    columns = ("path", "split", "label", "width", "height", "brightness", "sharpness")
    listed = [dict(zip(columns, (path, "test", "x", 64, 48, 1, 1), strict=True)) for path in PATHS]
    write_rows(made.validation("plate") / "manifest.csv", columns, listed)
    return made


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory):
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        tab.look(1280, 900)
        yield tab


NAMED = {  # by people, by papers, or by the line itself
    *("plate", "padim", "patchcore", "fcdd", "crack", "imagenet", "scratch", "test"),
    *("ROC", "PRO", "AUROC", "AUPRO", "AUPRO 0.3", "AUPRO 0.05", "seen", "the rim"),
}


def turn(tab: Browser, page: str) -> None:
    tab.run(f"location.hash = {page!r}")
    tab.wait(f"document.querySelector('.page.shown')?.id === {page!r}")


def drag(tab: Browser, *points: tuple[float, float]) -> None:
    """The mouse, pressed at the first point and let go at the last; shares of the image."""
    box = "document.querySelector('#drawing .sheet').getBoundingClientRect()"
    left, top, wide, high = (tab.run(f"{box}.{k}") for k in ("left", "top", "width", "height"))
    kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
    for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
        place = {"x": left + x * wide, "y": top + y * high}
        tab.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)


def test_a_person_tries_judges_draws_and_looks_on(made: Workspace, tab: Browser) -> None:
    file = sorted((made.root / "images").glob("*.png"))[-1]  # with a defect
    with listening(made) as url:
        tab.open(f"{url}/login#key={KEY}")
        tab.wait("document.querySelector('#now')")
        tab.errors.clear()
        turn(tab, "p/plate")
        try_a_picture(tab, file.read_bytes())
        judge_a_picture(tab, file.read_bytes())
        turn(tab, "p/plate/data")
        judge_in_a_row(tab, made)
        turn(tab, "p/plate/padim")
        draw_a_mask(tab, made)
        turn(tab, "live")
        look_on(tab, made, str(file), hashlib.sha256(file.read_bytes()).hexdigest())
        speak_chinese(tab)
    assert tab.errors == []


def drop(tab: Browser, data: bytes, name: str, where: str) -> None:
    text = base64.b64encode(data).decode()
    tab.run(f"""(() => {{
        const bytes = Uint8Array.from(atob("{text}"), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], "{name}"));
        const event = new DragEvent("drop", {{ dataTransfer, bubbles: true, cancelable: true }});
        document.querySelector(".shown {where}").dispatchEvent(event);
    }})()""")


def judge_a_picture(tab: Browser, data: bytes) -> None:
    """Add one to judge: beside the champion's verdict a person says what it shows."""
    tab.run("document.querySelector('.shown .drop [name=as]').value = 'judge'")
    drop(tab, data, "part-18.png", ".drop")
    tab.wait("document.querySelector('.shown .tried .waiting .judge button')")
    tab.run("document.querySelectorAll('.shown .tried .waiting .judge button')[2].click()")
    assert tab.run("document.activeElement.getAttribute('aria-label')") == "Which defect"
    tab.press(*"dent", "Enter")
    tab.wait("document.querySelector('.shown .drop .told').textContent === '1 image ready'")
    tab.wait("!document.querySelector('.shown .tried .waiting')")
    tab.run("document.querySelector('.shown [data-drop=take]').click()")
    asked = tab.run("document.querySelector('#confirm .what').textContent")
    assert asked.startswith("1 as the defect dent, a new type")
    tab.run("document.querySelector('#confirm [name=cancel]').click()")


def try_a_picture(tab: Browser, data: bytes) -> None:
    """Drop it on the product's page: the verdict and the map stand there."""
    drop(tab, data, "part-17.png", ".trying")
    tab.wait("document.querySelector('.shown .tried .verdict')")
    told = tab.run("document.querySelector('.shown .tried .verdict').textContent")
    assert told.startswith("defect") and "part-17.png" in told and "ms" in told
    tab.wait("document.querySelector('.shown .tried .seen .heat').naturalWidth > 0")
    assert tab.run("document.querySelector('.shown .tried .seen .line.found').getAttribute('d')")


def judge_in_a_row(tab: Browser, made: Workspace) -> None:
    """Keep the first label, correct the second, leave out the third, and take that back."""

    def at() -> str:
        return str(tab.run("document.querySelector('.row .doubted .path').textContent"))

    def judged() -> dict[str, str]:
        return {one.path: one.entry.label for one in read_corrections(made.corrections("plate"))}

    assert tab.run("document.querySelector('.row .doubted .views .pane.seen img') !== null")
    tab.press("k")  # without a name and a reason it waits for them
    assert tab.run("document.activeElement.name") == "by" and judged() == {}
    tab.press(*"anna")
    tab.run("document.querySelector('.row [name=reason]').focus()")
    tab.press(*"seen")
    tab.press("Enter")  # says what was meant, and the keys are for the next label
    said = {"test/crack/00.png": "crack", "test/good/30.png": "crack", "test/good/29.png": "drop"}
    for key, path in zip(("k", "1", "x"), said, strict=True):
        if key != "k":
            assert at() == path
            tab.press(key)
        tab.wait(f"document.querySelector('.row .told').textContent.startsWith({path!r})")
    assert judged() == said
    tab.wait("document.querySelector('.row .doubted').hidden")
    tab.press("u")
    tab.wait("!document.querySelector('.row .doubted').hidden")
    assert at() == "test/good/29.png" and len(judged()) == 2


def draw_a_mask(tab: Browser, made: Workspace) -> None:
    """A stroke, a polygon and something taken off again, saved at the image's size."""
    tab.wait("document.querySelector('.shown .gallery .tiles button')")
    tab.run(f"""[...document.querySelectorAll(".shown .gallery .tiles li")]
        .find((tile) => tile.querySelector(".path").title === {LAST!r})
        .querySelector("button").click()""")
    tab.wait("document.getElementById('viewer').open")
    tab.run("document.querySelector('#viewer [data-draw]').click()")
    tab.wait("document.getElementById('drawing').open")
    drag(tab, (0.1, 0.2), (0.3, 0.2), (0.5, 0.2))
    tab.run("document.querySelector('#drawing [value=polygon]').click()")
    for corner in ((0.6, 0.5), (0.9, 0.5), (0.9, 0.9)):
        drag(tab, corner)
    tab.press("Enter")
    tab.run("document.querySelector('#drawing [value=brush]').click()")
    drag(tab, (0.1, 0.8), (0.4, 0.8))
    tab.run("document.querySelector('[data-mask=undo]').click()")
    tab.run("document.querySelector('#drawing form').elements.reason.value = 'the rim'")
    tab.run("document.querySelector('#drawing [type=submit]').click()")
    tab.wait("!document.getElementById('drawing').open")
    told = tab.run("document.querySelector('#viewer .corrected').textContent")
    assert f"{LAST}: mask of" in told and "Run… on the page of plate" in told
    mask = read_mask(made.images("plate") / "ground_truth" / "crack" / "28_mask.png")
    assert mask.shape == (48, 64)
    assert mask[10, 19] and mask[30, 55] and not mask[38, 15] and not mask[3, 3]
    tab.run("document.getElementById('viewer').close()")


def look_on(tab: Browser, made: Workspace, image: str, sha256: str) -> None:
    """An inspection shows without a reload, with its picture."""
    tab.wait("!document.querySelector('#live .none').hidden")
    about = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "decision": "defect"}
    about |= {"part": "17", "image": image, "sha256": sha256, "release": "0123456789abcdef"}
    PredictionLog(made.root / "log", "plate").add(Prediction(**about, displayed=140.25))
    tab.wait("document.querySelector('#live .last img')?.naturalWidth > 0")
    row = tab.run("document.querySelector('#live .last tbody tr').innerText")
    assert "17" in row and "defect" in row and "140.3" in row and "01234567" in row
    assert "100.0%" in tab.run("document.querySelector('#live .hour').innerText")


def speak_chinese(tab: Browser) -> None:
    """The switch shows Chinese on every page, stays, and leaves no English text behind."""
    tab.run("[...document.querySelectorAll('.languages button')].at(-1).click()")
    tab.wait("document.documentElement?.lang === 'zh-CN' && document.readyState === 'complete'")
    tab.wait("document.querySelector('#live .last tbody tr')?.innerText.includes('缺陷')")
    for page in tab.run("pages.map((page) => page.id)"):
        turn(tab, page)
    left = {text for text in tab.run(LEFT) if not is_name(text)}
    assert left == set()
    for texts in (template_texts(), script_texts(), sentences()):
        asked = json.dumps(sorted(texts))
        unknown = tab.run(f"{asked}.filter((text) => language.translated(text) === null)")
        assert unknown == []
    tab.run("document.querySelector('.languages button').click()")
    tab.wait("document.documentElement?.lang === 'en' && document.readyState === 'complete'")
    assert "Overview" in tab.run("document.querySelector('header nav').textContent")
    agent = tab.run("navigator.userAgent")
    tab.call("Network.setUserAgentOverride", userAgent=agent, acceptLanguage="zh-CN")
    tab.run("localStorage.removeItem('inspectline-language'), location.reload()")
    tab.wait("document.documentElement?.lang === 'zh-CN' && document.readyState === 'complete'")


def sentences() -> set[str]:
    """What the line itself says of thresholds and decisions."""
    shares = ((None, None), (0.0, 0.015), (0.01, 0.2))
    ends = {"miss": [0.0, 0.1], "overkill": None}
    said = {outcome(Metrics(miss=miss, overkill=over), ends) for miss, over in shares}
    good, bad = np.linspace(0.9, 1.1, 40), [3.0, 4.0]
    for policy in ("min_cost", "normal_tail", "normal_quantile", "max_miss"):
        said.add(choose_threshold(Rule(policy=policy), good, bad, 1).note)
    floor = {"name": "miss", "limit": 0.1, "passed": False}
    said |= {failure(Check(**floor, value=value)) for value in (0.2, None)}
    for rule in ("better", "not_worse"):
        spec = SimpleNamespace(gates=SimpleNamespace(rule=rule, margin=0.01))
        worse = Comparison(-0.1, -0.2, -0.05, 0.01), CostDifference(0.2, 0.1, 0.3)
        said |= set(Challenge.against(SimpleNamespace(spec=spec), *worse))
    return said - {""}


def is_name(text: str) -> bool:
    """Whether a text is made of names, times, ids and numbers alone."""
    words = re.split(r"[\s,:/.·()→]+", text)
    named = NAMED | {"UTC", "png", "good", "drop", "anna", "board", "px", "e"}
    return text in NAMED or all(
        word in named or not re.search(r"[A-Za-z]{2}", word) or re.fullmatch("[0-9a-f]{8,16}", word)
        for word in words
    )
