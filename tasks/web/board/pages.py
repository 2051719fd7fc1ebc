"""The board's pages: the report of the present workspace, with the board's own parts."""

import hashlib
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from tasks.build import pending
from tasks.reporting.gather import gather
from tasks.reporting.language import words
from tasks.reporting.page import Live, content_policy, render, report_text, templates
from tasks.reporting.small_pictures import page_picture
from tasks.reporting.view import View
from tasks.store.opening import store_of
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace

TEMPLATES = Path(__file__).with_name("templates")
HOOKS = ("top", "product", "cell", "image", "edge", "doubts", "mask", "nav", "live")
PARTS = {name: f"board/{name}.html.j2" for name in HOOKS}
STYLES = ("board", "work", "trying", "doubts", "drawing", "live")
SCRIPTS = (
    *("asking", "confirm", "now", "change", "runs", "drops", "begin"),
    *("trying", "doubts", "drawing", "live"),
)
RESULTS = (  # files that a page depends on
    "params.yaml",
    "data/*/product.yaml",
    "data/*/corrections.yaml",
    "data/*/validation/result.json",
    "data/*/cells/*/evaluation/metrics.json",
    ".inspectline/decisions/*.json",
)
ASK = 10.0  # seconds between requests to the store


class Pages:
    """Thread-safe. A page is rendered again only if something has changed."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._busy = threading.Lock()
        self._made: tuple[str, View, str] | None = None
        self._store = ("", 0.0)
        self._pending: tuple[object, dict[str, list[str]]] = (None, {})

    def html(self) -> str:
        return self._page(self.stamp(fresh=True))[2]

    def picture(self, product: str, model: str, kind: str, index: int) -> bytes | None:
        """A picture of the last rendered page, as WebP."""
        _, view, _ = self._made or self._page(self.stamp())
        found = next((one for one in view.products if one.name == product), None)
        return page_picture(self.workspace, found, model, kind, index) if found else None

    def pending(self) -> dict[str, list[str]]:
        """What was changed by hand and waits for a run, by product."""
        now = pending.stamp(self.workspace)
        if self._pending[0] != now:
            self._pending = now, pending.pending(self.workspace)
        return self._pending[1]

    def stamp(self, fresh: bool = False) -> str:
        """A hash of the state of the workspace's results."""
        times = []
        for path in sorted(p for pattern in RESULTS for p in self.workspace.root.glob(pattern)):
            with suppress(FileNotFoundError):  # a folder that is being replaced
                times.append(f"{path} {path.stat().st_mtime_ns}")
        text = "\n".join([*times, self._champions(fresh)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _page(self, stamp: str) -> tuple[str, View, str]:
        with self._busy:
            if self._made is None or self._made[0] != stamp:
                view = gather(self.workspace)
                self._made = (stamp, view, render(view, board_parts()))
            return self._made

    def _champions(self, fresh: bool) -> str:
        """Tags of the champions' pointers; the store is read only every ASK seconds."""
        tags, asked = self._store
        if fresh or time.monotonic() - asked > ASK:
            try:
                store = store_of(self.workspace)
                found = [store.get_with_tag(f"champions/{p}.json") for p in self.workspace.products]
                tags = " ".join(one[1] if one else "-" for one in found)
            except LineError as error:
                tags = str(error)
            self._store = (tags, time.monotonic())
        return tags


@cache
def board_parts() -> Live:
    """The board's parts for the report's pages."""
    style = "\n".join(board_text(f"{name}.css") for name in STYLES)
    script = "\n".join(board_text(f"{name}.js") for name in SCRIPTS)
    return Live("/pictures", TEMPLATES, PARTS, style, script)


@cache
def login_page() -> str:
    """The login page."""
    from markupsafe import Markup

    style = report_text("report.css") + board_text("board.css")
    script = report_text("language.js") + board_text("asking.js") + board_text("login.js")
    return str(
        templates(TEMPLATES)
        .get_template("board/login.html.j2")
        .render(
            style=Markup(style),
            script=Markup(script),
            policy=content_policy([style], [script], board_parts()),
            words=words(),
        )
    )


def board_text(name: str) -> str:
    """A file beside the board's templates."""
    return (TEMPLATES / name).read_text("utf-8")
