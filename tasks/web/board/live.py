"""The last inspections of the workspace's log: what `serve`, `inspect` and `predict` decide."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from tasks.documents.prediction import Prediction
from tasks.images.read_image import read_bytes
from tasks.monitoring.tail import LogTail
from tasks.reporting.small_pictures import small_original
from tasks.web.board.access import Access
from tasks.web.board.answers import cached_response, check_product
from tasks.web.refused import Refused
from tasks.workspace.errors import DataError
from tasks.workspace.paths import Workspace

FOLDER = "log"  # of a workspace, where no other is named
SHOWN = 50  # inspections of all products together
KEYS = ("time", "part", "decision", "displayed", "score", "threshold", "release", "sha256")


class LiveLog:
    """The logs of all products of a workspace, by product. Those of its folders alone are read."""

    def __init__(self, workspace: Workspace, folder: Path | None) -> None:
        self.workspace = workspace
        self.folder = folder or workspace.root / FOLDER
        self._tails: dict[str, LogTail] = {}

    def now(self) -> dict[str, Any]:
        """folder: where the log is, empty without one; hour: verdicts by product; last: rows."""
        time = datetime.now(UTC)
        found = {product: self.tail(product).newest(time) for product in self.workspace.products}
        seen_last = [(p, one) for p, seen in found.items() for one in seen.records[:SHOWN]]
        seen_last.sort(key=lambda each: str(each[1].time), reverse=True)
        rows = [self.row(p, one) for p, one in seen_last[:SHOWN]]  # each looks for its file
        hours = {product: seen.hour for product, seen in found.items() if seen.records}
        there = str(self.folder) if self.folder.is_dir() else ""
        return {"folder": there, "hour": hours, "last": rows}

    def tail(self, product: str) -> LogTail:
        return self._tails.setdefault(product, LogTail(self.folder, product))

    def row(self, product: str, record: Prediction) -> dict[str, Any]:
        file = self.file_of(record)
        known = {key: getattr(record, key) for key in KEYS}
        name = Path(record.image).name if record.image else ""
        return {"product": product, **known, "name": name, "picture": file is not None}

    def file_of(self, record: Prediction) -> Path | None:
        """The file that was inspected, if it is still there."""
        if not (record.image and record.sha256):
            return None
        path = self.workspace.root / record.image
        return path if path.is_file() else None

    def picture(self, product: str, sha256: str) -> bytes | None:
        """A small picture (WebP) of a file that was inspected lately, if it still holds that."""
        records = self.tail(product).newest(datetime.now(UTC)).records
        record = next((one for one in records if one.sha256 == sha256), None)
        file = self.file_of(record) if record else None
        try:
            if file and hashlib.sha256(read_bytes(file)).hexdigest() == sha256:
                return small_original(file)
        except DataError:
            pass
        return None


def live_routes(workspace: Workspace, access: Access, log: Path | None) -> APIRouter:
    """log: folder of the log of predictions; None: `log` of the workspace."""
    known = LiveLog(workspace, log)

    router = APIRouter(prefix="/live", dependencies=[Depends(access.reader)])

    @router.get("")
    def now() -> dict[str, Any]:
        return known.now()

    @router.get("/{product}/{sha256}")
    def picture(request: Request, product: str, sha256: str) -> Response:
        check_product(workspace, product)
        found = known.picture(product, sha256)
        if found is None:
            raise Refused(404, "this picture is not kept")
        return cached_response(request, found, "image/webp")

    return router
