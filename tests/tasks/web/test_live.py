"""The board shows the last inspections, and a picture only of what was inspected."""

import hashlib
from datetime import UTC, datetime

import pytest
from PIL import Image

from tasks.documents.prediction import Prediction
from tasks.monitoring.log import PredictionLog
from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.workspace.paths import Workspace
from tests.tasks.boards import Client
from tests.tasks.workspaces import product, workspace


@pytest.fixture
def made(tmp_path) -> Workspace:
    made = workspace(tmp_path / "ws")
    product(made, "tile")
    Image.new("L", (40, 30), 99).save(made.root / "part.png")
    return made


def board(made, log=None) -> Client:
    app = create_app(made, Access(), log=log)
    return Client(app, "http://localhost:8090", ("127.0.0.1", 50000))


def logged(folder, image, sha256, decision="defect"):
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    about = {"time": time, "decision": decision, "image": image, "sha256": sha256, "part": "17"}
    PredictionLog(folder, "tile").add(Prediction(**about, displayed=120.5))


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_last_inspections_are_told_with_their_pictures(made):
    client, file = board(made), made.root / "part.png"
    assert client.get("/live").json() == {"folder": "", "hour": {}, "last": []}
    logged(made.root / "log", str(file), digest(file))
    told = client.get("/live").json()
    assert told["hour"] == {"tile": {"defect": 1}}
    [row] = told["last"]
    assert (row["part"], row["name"], row["picture"]) == ("17", "part.png", True)
    picture = client.get(f"/live/tile/{row['sha256']}")
    assert picture.status_code == 200 and picture.headers["content-type"] == "image/webp"


def test_a_file_that_is_no_longer_what_was_inspected_is_not_shown(made):
    client, file = board(made), made.root / "part.png"
    before = digest(file)
    logged(made.root / "log", "part.png", before)
    logged(made.root / "log", "params.yaml", digest(made.root / "params.yaml"))
    Image.new("L", (40, 30), 11).save(file)
    for sha256 in (before, digest(file), digest(made.root / "params.yaml"), "%2e", "0"):
        assert client.get(f"/live/tile/{sha256}").status_code == 404, sha256
    assert client.get(f"/live/cup/{before}").status_code == 404


def test_another_folder_may_be_named(made, tmp_path):
    logged(tmp_path / "other", None, None, "good")
    [row] = board(made, tmp_path / "other").get("/live").json()["last"]
    assert row["decision"] == "good" and row["picture"] is False and row["name"] == ""
