"""A workspace with something to change, and the board of it, for tests."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tasks.documents.manifest import About
from tasks.documents.metrics import GateMetrics
from tasks.store.champion import promote
from tasks.store.opening import store_of
from tasks.store.releases import publish
from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.workspace.paths import Workspace
from tests.tasks.web.listeners import served
from tests.tasks.workspaces import ROWS, cell, workspace

SPEC = "# ask Maria\nalgorithms: [padim, patchcore]\nthreshold:\n  overkill: 0.02  # agreed\n"


def line(root: Path) -> Workspace:
    """Product `tile`: two evaluated cells, its images, two releases of which the newer leads."""
    made = workspace(root)
    (root / ".dvc").mkdir()
    for algorithm in ("padim", "patchcore"):
        cell(made, "tile", algorithm)
    (made.product("tile") / "product.yaml").write_text(SPEC)
    for path in [*(row[0] for row in ROWS), "train/good/0.png"]:
        file = made.images("tile") / path.replace("/>", ">")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    for number, algorithm in enumerate(("padim", "patchcore")):
        release(made, root / f"made{number}", algorithm)
    return made


def release(made: Workspace, folder: Path, algorithm: str) -> str:
    folder.mkdir()
    (folder / "model.bin").write_text(algorithm)
    store = store_of(made)
    about = About(algorithm=algorithm, metrics=GateMetrics(image_auroc=0.9))
    found = publish(folder, "tile", store, about)
    promote(store, "tile", found, reason="it is better", by="the gate")
    return found


class Client:
    """Asks an app without a network, as who has this address."""

    def __init__(self, app: Any, url: str, peer: tuple[str, int]) -> None:
        self.app, self.url, self.peer = app, url, peer
        self.cookies = httpx.Cookies()
        self.headers: dict[str, str] = {}  # of every request

    def get(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.ask("GET", path, options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.ask("POST", path, options))

    async def ask(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=self.peer)
        about: dict[str, Any] = {"base_url": self.url, "cookies": self.cookies}
        about["headers"] = self.headers
        async with httpx.AsyncClient(transport=transport, **about) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
        return answer


KEY = "the-key-of-the-tests"


@contextmanager
def listening(made: Workspace, token: str = "", server: Any = lambda: None) -> Iterator[str]:
    """The address of the board, which listens on a port of its own. KEY is its key."""
    app = create_app(made, Access(token, key=KEY), server)
    with served(app) as url:
        yield url
