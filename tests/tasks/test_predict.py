"""Which files are inspected, what their maps are called, and that no verdict is lost."""

import errno
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks import predict
from tasks.monitoring.log import PredictionLog
from tasks.predict import image_paths, map_names, predict_images
from tasks.workspace.errors import DataError


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(path)
    return path


def test_a_folder_gives_its_images_and_nothing_else(tmp_path: Path):
    wanted = [save(tmp_path / "a/1.png"), save(tmp_path / "b/2.JPG")]
    for name in (".hidden.png", ".cache/3.png", "__MACOSX/4.png"):
        save(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "moving.gif").write_bytes(b"GIF89a")
    (tmp_path / "notes.txt").touch()
    assert image_paths([tmp_path]) == wanted
    assert image_paths([tmp_path / ".hidden.png"]) == [tmp_path / ".hidden.png"]  # asked for
    with pytest.raises(DataError, match="holds no image"):
        image_paths([tmp_path / "folder.png"])


def test_names_of_maps_are_short_where_they_can_be():
    paths = [Path(p) for p in ("day1/cam1/1.png", "day2/cam1/1.png", "day2/cam1/2.png")]
    assert [map_names(paths)[path] for path in paths] == ["day1-cam1-1.png", "day2-cam1-1.png", "2"]


def test_every_map_has_a_name_of_its_own_that_a_disk_takes():
    chance = random.Random(0)
    parts = ["a", "b", "A", "a-b", "b-a", "ab", "x" * 250, "ü\n", "day 1", "1.png"]
    for _ in range(500):
        paths = {
            Path(*chance.choices(parts, k=chance.randint(0, 4)), chance.choice(parts) + ".png")
            for _ in range(chance.randint(1, 12))
        }
        names = map_names(sorted(paths))
        assert set(names) == paths
        assert len({name.casefold() for name in names.values()}) == len(paths)
        assert all(len(name.encode()) <= 216 and "/" not in name for name in names.values())
        assert all(name.isprintable() for name in names.values())


VERDICT = dict.fromkeys(("score", "threshold", "accept"), 1.0) | {
    "decision": "accept",
    "displayed": 0.5,
    "regions": [],
}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that finds the same in every image."""
    from tasks.models.release_model import ReleaseModel

    found = SimpleNamespace(
        inspector=SimpleNamespace(inspect=lambda image: None),
        result=lambda found: dict(VERDICT),
        sheet=lambda image, found: Image.new("RGB", (8, 8)),
    )
    monkeypatch.setattr(ReleaseModel, "load", lambda folder, device: found)
    monkeypatch.setattr(predict, "release_of", lambda folder: None)


def test_maps_of_the_same_names_lie_beside_each_other(tmp_path: Path, model: None):
    paths = [save(tmp_path / f"day{day}/cam1/1.png") for day in (1, 2)]
    records = list(predict_images(tmp_path, paths, tmp_path / "maps", "cpu"))
    assert len({one["map"] for one in records}) == 2
    assert all(Path(one["map"]).is_file() for one in records)


@pytest.mark.parametrize("full", ["log", "maps"])
def test_a_full_disk_loses_no_verdict(tmp_path: Path, model: None, monkeypatch, full: str):
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if full == "log":
        monkeypatch.setattr(PredictionLog, "add", fail)
    else:
        monkeypatch.setattr("tasks.images.pictures.save_jpeg", fail)
    paths = [save(tmp_path / f"{n}.png") for n in range(3)]
    log = PredictionLog(tmp_path / "log", "cap")
    records = list(predict_images(tmp_path, paths, tmp_path / "maps", "cpu", log))
    assert [one["decision"] for one in records] == 3 * ["accept"]
    assert all("No space left on device" in one["warning"] for one in records)
    assert ("map" in records[0]) == (full == "log")
