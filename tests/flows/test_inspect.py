"""`inspect` takes each file once, whole, and tells each result; a camera's pictures likewise."""

import json
import os
import shutil
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.documents.result import Result
from tasks.inspect_source import FolderLoop, Inspecting, inspect_camera
from tasks.models.served import Served
from tasks.monitoring.log import PredictionLog
from tasks.sinks.delivery import Deliveries
from tasks.sinks.outbox import Outbox
from tasks.sinks.telling import Telling, open_telling
from tasks.spec.schema import Sink
from tasks.store.opening import source_of
from tasks.workspace.errors import SpecError, StoreError
from tasks.workspace.names import part_pattern
from tests.flows.releases import made_release, picture


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    return made_release(tmp_path_factory.mktemp("line")).root


@pytest.fixture(scope="module")
def served(line):
    return Served(*source_of(line, "plate"), "cpu")


@pytest.fixture
def inspecting(served, tmp_path):
    made = begun(served, tmp_path)
    yield made
    made.telling.close()


def begun(served, folder):
    deliveries = Deliveries(Outbox(folder / "outbox.sqlite"), {"there": SimpleNamespace()})
    return Inspecting(served, Telling(deliveries))


def watched(tmp_path):
    (tmp_path / "in").mkdir(exist_ok=True)
    return tmp_path / "in"


def test_a_file_is_inspected_once_it_is_whole(inspecting, line, tmp_path):
    folder, now = watched(tmp_path), [100.0]
    loop = FolderLoop(inspecting, str(folder), 2.0, None, lambda: now[0])
    whole = (line / "dark.png").read_bytes()
    (folder / "a.png").write_bytes(whole[:50])
    assert not list(loop.step())
    now[0] += 1
    (folder / "a.png").write_bytes(whole)
    assert not list(loop.step())
    now[0] += 1.5
    assert not list(loop.step()) and not loop.idle
    now[0] += 1
    assert [one.decision for one in loop.step()] == ["good"]
    now[0] += 9
    assert not list(loop.step()) and loop.idle


def test_a_loop_that_was_killed_takes_no_file_twice(served, line, tmp_path):
    folder = watched(tmp_path)
    for name in ("b.png", "a.png"):
        shutil.copy(line / "bright.png", folder / name)
    os.utime(folder / "a.png", (2e9, 2e9))
    parts = []
    for _ in range(2):
        inspecting = begun(served, tmp_path)
        loop = FolderLoop(inspecting, str(folder), 0.0, None)
        parts.append([(one.image, one.part) for one in loop.step()])
        assert inspecting.telling.deliveries.waiting == {"there": 2}
        inspecting.telling.close()
    assert [name for name, _ in parts[0]] == ["b.png", "a.png"]  # as they were written
    assert parts[1] == []
    (tmp_path / "outbox.sqlite").unlink()  # killed before the disk had it: the same parts again
    inspecting = begun(served, tmp_path)
    again = FolderLoop(inspecting, str(folder), 0.0, None).step()
    assert [(one.image, one.part) for one in again] == parts[0]
    inspecting.telling.close()


def test_a_file_that_is_no_image_has_a_result_too(inspecting, tmp_path):
    folder = watched(tmp_path)
    (folder / "part_7.png").write_bytes(b"no image")
    inspecting.telling.folders = [tmp_path / "sorted"]
    loop = FolderLoop(inspecting, str(folder), 0.0, part_pattern(r"_(?P<part>\d)"))
    (found,) = loop.step()
    assert found.decision == "error" and "not an image" in found.fault and found.part == "7"
    assert [one.suffix for one in sorted((tmp_path / "sorted/error").iterdir())] == [
        ".json",
        ".png",
    ]


def test_what_cannot_be_read_stands_in_nobodys_way(inspecting, line, tmp_path, monkeypatch, caplog):
    folder = watched(tmp_path)
    for name in ("a.png", "b.png"):
        shutil.copy(line / "dark.png", folder / name)
    real = Path.open

    def denied(path, *more):
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return real(path, *more)

    loop = FolderLoop(inspecting, str(folder), 0.0, None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", denied)
        assert [one.image for _ in range(3) for one in loop.step()] == ["b.png"]
        assert loop.idle and list(loop.unread.values()) == ["Permission denied"]
    assert caplog.text.count("a.png cannot be read") == 1
    assert [one.image for one in loop.step()] == ["a.png"] and not loop.unread


def test_a_failure_of_the_model_is_a_result(inspecting, served, line, monkeypatch):
    def broken(_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(served.champion.model.inspector, "inspect", broken)
    found = inspecting.inspect((line / "dark.png").read_bytes(), "dark.png", "7")
    assert found.decision == "error" and "RuntimeError" in found.fault


def test_a_name_whose_id_cannot_be_one_gets_another(inspecting, line, tmp_path):
    folder = watched(tmp_path)
    shutil.copy(line / "dark.png", folder / f"part_{'1' * 140}.png")
    (found,) = FolderLoop(inspecting, str(folder), 0.0, part_pattern(r"_(?P<part>\d+)")).step()
    assert len(found.part) == 32 and found.decision == "good"


def test_links_in_a_circle_and_names_of_any_bytes_stand_in_nobodys_way(served, line, tmp_path):
    folder = watched(tmp_path)
    (folder / "circle.png").symlink_to("circle.png")
    for name in ("a.png", os.fsdecode(b"\xe9t\xe9.png")):  # the second in Latin-1
        shutil.copy(line / "dark.png", folder / name)
    for expected in (["a.png", "\udce9t\udce9.png"], []):
        inspecting = begun(served, tmp_path)
        loop = FolderLoop(inspecting, str(folder), 0.0, None)
        assert sorted(one.image for one in loop.step()) == expected
        inspecting.telling.deliveries.outbox.forget(loop.address, [])
        inspecting.telling.close()


@pytest.mark.parametrize(("sink", "refused"), [("sorted", True), ("..", False), (".kept", False)])
def test_its_own_pictures_are_not_inspected(inspecting, tmp_path, sink, refused):
    folder = watched(tmp_path)
    inspecting.telling.folders = [folder / sink]
    with pytest.raises(SpecError, match="elsewhere") if refused else nullcontext():
        FolderLoop(inspecting, str(folder), 0.0, None)


def test_a_clock_that_is_set_back_holds_nothing_up(inspecting, line, tmp_path, monkeypatch):
    shutil.copy(line / "dark.png", watched(tmp_path))
    loop = FolderLoop(inspecting, str(tmp_path / "in"), 0.01, None)
    assert not list(loop.step())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    time.sleep(0.02)
    assert len(list(loop.step())) == 1


def test_files_that_are_long_gone_are_not_remembered(inspecting, line, tmp_path, monkeypatch):
    folder, now = watched(tmp_path), [0.0]
    loop = FolderLoop(inspecting, str(folder), 0.0, None, lambda: now[0])
    for name in ("gone.png", "there.png"):
        shutil.copy(line / "dark.png", folder / name)
    assert len(list(loop.step())) == 2
    (folder / "gone.png").unlink()
    monkeypatch.setattr("tasks.sinks.outbox.KEPT", -1.0)
    now[0] = 1e6
    assert not list(loop.step())
    assert [path.name for path in loop.taken] == ["there.png"]


def test_what_waits_for_a_full_disk_is_logged_once(inspecting, line, tmp_path):
    shutil.copy(line / "dark.png", watched(tmp_path))
    inspecting.records = PredictionLog(tmp_path / "log", "plate")
    inspecting.telling.folders = [tmp_path / "sorted"]
    (tmp_path / "sorted").touch()  # nothing can be written into it
    loop = FolderLoop(inspecting, str(tmp_path / "in"), 0.0, None)
    for _ in range(3):
        with pytest.raises(StoreError):
            list(loop.step())
    (tmp_path / "sorted").unlink()
    assert len(list(loop.step())) == 1
    (logged,) = (tmp_path / "log/plate").iterdir()
    assert logged.read_text().count("\n") == 1


def test_the_command_tells_each_result(line, tmp_path):
    folder = watched(tmp_path)
    picture(folder / "x_1.png", 220)
    picture(folder / "x_2.png", 20)
    words = ["--workspace", line, "inspect", "plate", folder, "--once", "--settle", "0", "--json"]
    words += ["--sink", tmp_path / "sorted", "--part", r"_(?P<part>\d)", "--log", tmp_path / "log"]
    ended = CliRunner().invoke(main, [*map(str, words), "--outbox", str(tmp_path / "box")])
    assert ended.exit_code == 0, ended.output
    told = [json.loads(one) for one in ended.stdout.splitlines()]
    assert {one["part"]: one["decision"] for one in told} == {"1": "defect", "2": "good"}
    assert all(Result.parse(json.dumps(one), "told").dump() == one for one in told)
    assert len(list((tmp_path / "sorted/ng").iterdir())) == 2
    logged = next((tmp_path / "log/plate").glob("*.jsonl")).read_text()
    assert logged.count("\n") == 2


def test_a_command_without_a_source_says_what_to_give():
    ended = CliRunner().invoke(main, ["inspect", "plate"])
    assert ended.exit_code == 2 and "--camera URL" in ended.output


def test_how_a_sink_is_told_needs_a_sink(line, tmp_path):
    ended = CliRunner().invoke(main, ["-w", str(line), "inspect", "plate", ".", "--confirm"])
    assert ended.exit_code == 2 and "give one" in ended.output


def test_two_topics_of_a_broker_are_two_sinks(tmp_path):
    address = "mqtt://user:secret@host"
    specs = [Sink(to=address), Sink(to=address, topic="a/{product}")]
    telling = open_telling(specs, tmp_path / "box", tmp_path)
    assert list(telling.deliveries.waiting) == [
        "mqtt://user@host",
        "mqtt://user@host a/{product}",
    ]
    telling.close()


def test_sinks_of_params_are_used(line, tmp_path, monkeypatch):
    root = tmp_path / "line"
    shutil.copytree(line, root)
    (root / "params.yaml").write_text(
        "line: {device: auto, sinks: [{to: sorted}], part: '(?P<part>x)'}"
    )
    folder = watched(tmp_path)
    picture(folder / "x.png", 220)
    words = ["-w", str(root), "inspect", "plate", str(folder), "--once", "--settle", "0"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert len(list((root / "sorted/ng").glob("x-*"))) == 2


@pytest.fixture
def video(tmp_path):
    """Ten pictures, a second long, of which the last three are bright."""
    cv2 = pytest.importorskip("cv2", reason="needs inspectline[camera]")
    path = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (60, 40))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPG")
    for number in range(10):
        writer.write(np.full((40, 60, 3), 230 if number > 6 else 20, np.uint8))
    writer.release()
    return path


def test_a_camera_is_inspected_picture_by_picture(inspecting, video):
    over = threading.Event()
    found = list(inspect_camera(inspecting, video, 0.001, over, print))
    assert [one.decision for one in found] == ["good"] * 7 + ["defect"] * 3
    assert len({one.part for one in found}) == 10
    assert len(list(inspect_camera(inspecting, video, 0.5, over, print))) == 2


def test_what_is_no_video_is_refused(inspecting, tmp_path):
    pytest.importorskip("cv2", reason="needs inspectline[camera]")
    (tmp_path / "no.avi").write_bytes(b"nothing")
    ended = inspect_camera(inspecting, str(tmp_path / "no.avi"), 1.0, threading.Event(), print)
    with pytest.raises(Exception, match="cannot read this video"):
        list(ended)
