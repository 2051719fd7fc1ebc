"""Names of files are text on the pages of a validation, whatever they hold, and no script runs."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.checks.datadocs import MEANING, portable_page, stand_in
from tasks.spec.schema import Validation
from tasks.validate import check_images
from tests.browser import browser

pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")
RUN = "document.title='hacked'"
NAMES = [
    f"<img src=x onerror={RUN}>",
    f'"><svg onload={RUN}>',
    f"' onmouseover='{RUN}",
    f"<script>{RUN}<",
    "$template ${path} $$",
    "&lt;b&gt; `{{7*7}}`",
    "\ue000\ue001 \ue00f",
]


@pytest.fixture(scope="module")
def docs(tmp_path_factory) -> Path:
    """The pages of a product whose names are code."""
    root = tmp_path_factory.mktemp("hostile") / "images"

    def save(path: Path, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(60, 200, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    for index in range(6):
        save(root / f"train/good/{index}.png", index)
    (root / "test/good").mkdir(parents=True)
    for index, name in enumerate(NAMES):
        save(root / f"test/{name}/{name}.png", 50 + index)
        (root / f"train/good/bad{name}.png").write_text("no image")
        leak = root / "train/good/0.png"
        (root / f"test/good/{name}.png").write_bytes(leak.read_bytes())
    result = check_images(root, root.parent / "validation", Validation())
    files = {found["file"] for found in result.failures}
    assert {f"train/good/bad{name}.png" for name in NAMES} <= files
    assert {f"test/good/{name}.png" for name in NAMES} <= files
    return result.docs.parent


class Tags(HTMLParser):
    """What a browser would run or load."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.scripts, self.wrong, self.policies = "", [], [], []
        self._script = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self._script = tag == "script"
        self.policies += [known["content"]] if "http-equiv" in known else []
        loads = {"src", "srcset", "action", "formaction", "data"} & set(known)
        outside = known.get("href", "#").split(":")[0] in ("javascript", "http", "https", "data")
        if tag in ("img", "svg", "iframe", "object", "base", "form") or loads or outside:
            self.wrong.append((tag, attributes))
        self.wrong += [(tag, name) for name in known if name.startswith("on")]

    def handle_data(self, data):
        if self._script:
            self.scripts.append(data)
        else:
            self.text += data

    def handle_endtag(self, tag):
        self._script = False


def test_names_are_text_and_only_our_script_may_run(docs):
    pages = sorted(docs.rglob("*.html"))
    assert len(pages) == 5
    shown = ""
    for path in pages:
        page = Tags(path.read_text())
        assert page.wrong == [], path
        [policy] = page.policies
        assert (
            "default-src 'none'" in policy and "unsafe-inline" not in policy.split("script-src")[1]
        )
        for script in page.scripts:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy, path
        shown += page.text
    for name in NAMES[:-1]:
        assert shown.count(name) >= 4, name


def test_a_browser_runs_nothing_and_the_page_still_folds(docs, tmp_path):
    [page] = docs.glob("validations/must/*/*/*.html")
    with browser(tmp_path) as tab:
        tab.open(page.as_uri())
        assert tab.run("document.title") != "hacked" and tab.errors == []
        tab.run("document.querySelector('[data-call=hideSucceededValidations]').click()")
        rows = "[...document.querySelectorAll('[class*=hide-succeeded]')].map(x => x.closest('tr'))"
        assert tab.run(f"{rows}.filter(Boolean).every(row => row.style.display === 'none')")
        tab.open((docs / "index.html").as_uri())
        assert tab.run("document.title") == "Validation failed" and tab.errors == []


def test_a_stand_in_is_one_of_its_own_and_is_shown_as_what_it_stands_for():
    signs = MEANING + "a\\u0é漢\ue000\ue001\ue007\ue00e\ue00f\ue010"
    random = np.random.default_rng(0)
    texts = {"".join(random.choice(list(signs), random.integers(0, 8))) for _ in range(3000)}
    assert len({stand_in(text) for text in texts}) == len(texts)
    for text in texts:
        assert not set(stand_in(text)) & set(MEANING)
        for given in (stand_in(text), repr(stand_in(text))[1:-1]):
            made = portable_page(f"<html><head></head><body>|{given}|</body></html>")
            inside = made.split("|")[1]
            assert not set(inside) & set("<>\"'`$")
            plain = re.sub("[\ue000-\ue01f]", "", text)
            if given == stand_in(text):
                assert re.sub("[\ue000-\ue01f]", "", html.unescape(inside)) == plain
    stand_in("\udcff").encode()  # a name that is no Unicode
