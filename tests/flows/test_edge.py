"""A release goes into a folder, and from there onto a machine that has nothing else."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.delivery.pull import SUMS, write_sums
from tasks.products.rename import copy_releases
from tasks.promotion.golden import keep_golden
from tasks.spec.schema import Product, ReleaseSpec
from tasks.store.champion import champion
from tasks.store.folder import FolderStore
from tasks.workspace.paths import Workspace
from tests.flows.releases import made_release


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A workspace with a champion of `plate`, and its golden images in the store."""
    made = made_release(tmp_path_factory.mktemp("source"), pixels=True)
    store = FolderStore(made.root / "store")
    spec = Product(release=ReleaseSpec(golden=2))
    assert keep_golden(store, made, "plate", champion(store, "plate").release, spec)
    return made.root


@pytest.fixture
def stick(source, tmp_path):
    """A pulled folder."""
    said = call("pull", "plate", "--store", source / "store", "--to", tmp_path / "stick")
    assert said.exit_code == 0 and "plate padim" in said.output
    return tmp_path / "stick"


def call(*words):
    return CliRunner().invoke(main, [*map(str, words)])


def test_a_pulled_folder_inspects_without_a_workspace(stick, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = call("predict", "plate", "--store", stick, source / "bright.png")
    assert said.exit_code == 0 and said.output.startswith("DEFECT")
    assert "padim" in call("releases", "plate", "--store", stick).output
    missing = call("predict", "plate", "--store", tmp_path / "none", source / "bright.png")
    assert missing.exit_code == 1 and "is no store" in missing.output


def test_a_selftest_judges_the_golden_images_as_published(stick):
    said = call("selftest", stick)
    assert said.exit_code == 0, said.output
    assert "2 golden images judged as published" in said.output
    checked = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=stick, check=False)
    assert checked.returncode == 0


def test_a_selftest_names_a_damaged_file(stick):
    model = next(stick.glob("releases/plate/*/model.onnx"))
    model.write_bytes(model.read_bytes()[:-1])
    said = call("selftest", stick)
    assert said.exit_code == 1 and "model.onnx is damaged; pull again" in said.output
    shutil.rmtree(model.parent)
    assert "model.onnx is missing; pull again" in call("selftest", stick).output


@pytest.mark.parametrize("sums", [b"", b"garbage", b"\xff\xfe"])
def test_a_selftest_without_whole_checksums_says_so(stick, sums):
    (stick / SUMS).write_bytes(sums)
    said = call("selftest", stick)
    assert said.exit_code == 1 and f"{SUMS} is damaged; pull again" in said.output


def test_a_selftest_asks_for_the_signature_where_keys_are_trusted(stick, tmp_path, monkeypatch):
    monkeypatch.setenv("INSPECTLINE_TRUST", str(tmp_path / "line.pub"))
    said = call("selftest", stick)
    assert said.exit_code == 1 and "holds no model.sig" in said.output


def test_what_is_not_trusted_changes_nothing_in_a_pulled_folder(
    source, stick, tmp_path, monkeypatch
):
    before = {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()}
    shutil.copytree(source / "store", tmp_path / "other")
    (next((tmp_path / "other").glob("releases/plate/*")) / "more.txt").touch()
    monkeypatch.setenv("INSPECTLINE_TRUST", str(tmp_path / "line.pub"))
    said = call("pull", "plate", "--store", tmp_path / "other", "--to", stick)
    assert said.exit_code == 1 and "holds no model.sig" in said.output
    assert before == {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()}


def test_pulled_again_no_file_of_others_stays(source, stick):
    more = next(stick.glob("releases/plate/*")) / "more.txt"
    more.touch()
    assert call("pull", "plate", "--store", source / "store", "--to", stick).exit_code == 0
    assert not more.exists()


def test_pulled_again_a_damaged_file_is_mended(stick, source):
    model = next(stick.glob("releases/plate/*/model.onnx"))
    model.write_bytes(b"")
    call("pull", "plate", "--store", source / "store", "--to", stick)
    assert call("selftest", stick).exit_code == 0


def test_what_others_put_beside_a_champion_is_passed_over(stick):
    for name in (".DS_Store", "._plate.json", "readme.txt"):
        (stick / "champions" / name).write_bytes(b"\0")
    assert call("selftest", stick).exit_code == 0


def test_an_archive_that_lacks_an_image_is_damaged(stick):
    (path,) = stick.glob("exhibits/plate/*.golden.zip")
    with ZipFile(path) as archive:
        told = archive.read("golden.json")
    with ZipFile(path, "w") as archive:
        archive.writestr("golden.json", told)
    write_sums(stick)
    said = call("selftest", stick)
    assert said.exit_code == 1 and "in the golden images is damaged" in said.output


def test_another_decision_fails_the_selftest(source, tmp_path):
    """As by a machine whose ONNX Runtime computes otherwise: the archive says what was decided."""
    from zipfile import ZipFile

    shutil.copytree(source / "store", tmp_path / "store")
    archive = next(tmp_path.glob("store/exhibits/plate/*.golden.zip"))
    with ZipFile(archive) as file:
        kept = {name: file.read(name) for name in file.namelist()}
    told = json.loads(kept["golden.json"])
    told["images"][0]["decision"] = "review"
    told["images"][1]["score"] += 0.1
    with ZipFile(archive, "w") as file:
        for name, content in (kept | {"golden.json": json.dumps(told)}).items():
            file.writestr(name, content)
    call("pull", "plate", "--store", tmp_path / "store", "--to", tmp_path / "stick")
    said = call("selftest", tmp_path / "stick")
    assert said.exit_code == 1 and "4 verdicts on 2 golden images are other ones" in said.output
    assert "inspect.onnx: bright.png is 'defect'" in said.output
    assert "released 'review'" in said.output


def test_a_damaged_release_is_not_pulled(source, tmp_path):
    shutil.copytree(source / "store", tmp_path / "store")
    model = next(tmp_path.glob("store/releases/plate/*/model.onnx"))
    model.write_bytes(model.read_bytes()[::-1])
    said = call("pull", "plate", "--store", tmp_path / "store", "--to", tmp_path / "stick")
    assert said.exit_code == 1 and "its manifest says" in said.output
    assert champion(FolderStore(tmp_path / "stick"), "plate") is None
    assert not list(Path(tmp_path / "stick").rglob("*.part"))


def test_a_prediction_names_part_and_image(source, tmp_path):
    image = tmp_path / "cam_042.png"
    shutil.copy(source / "dark.png", image)
    words = ["predict", "plate", "--json", "--log", tmp_path, "--part", r"_(?P<part>\d+)"]
    said = call("--workspace", source, *words, image)
    found = json.loads(said.output)
    logged = json.loads(next(tmp_path.glob("plate/*.jsonl")).read_text())
    for told in (found, logged):
        assert told["part"] == "042"
        assert told["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()


def test_a_release_without_golden_images_is_told(source, tmp_path):
    shutil.copytree(source / "store", tmp_path / "store")
    next(tmp_path.glob("store/exhibits/plate/*.golden.zip")).unlink()
    said = call("pull", "plate", "--store", tmp_path / "store", "--to", tmp_path / "stick")
    assert said.exit_code == 0 and "no golden images" in said.output
    assert "no golden images to judge" in call("selftest", tmp_path / "stick").output


def test_pull_in_a_workspace_adds_golden_images(tmp_path):
    """As of a release that was published before they were kept."""
    made = made_release(tmp_path)
    (made.product("plate") / "product.yaml").touch()
    said = call("--workspace", tmp_path, "pull", "plate", "--to", tmp_path / "stick")
    assert said.exit_code == 0 and "no golden images" not in said.output
    assert "2 golden images judged" in call("selftest", tmp_path / "stick").output


def test_a_product_may_keep_its_images_to_itself(tmp_path):
    made = made_release(tmp_path)
    (made.product("plate") / "product.yaml").write_text("release: {golden: 0}")
    said = call("--workspace", tmp_path, "pull", "plate", "--to", tmp_path / "stick")
    assert said.exit_code == 0 and "no golden images" in said.output
    assert not list(tmp_path.rglob("*.golden.zip"))


def test_golden_images_go_by_a_new_name_of_the_product_too(source, tmp_path):
    shutil.copytree(source, tmp_path / "line")
    copy_releases(Workspace(tmp_path / "line"), "plate", "disc")
    words = ["--store", tmp_path / "line/store", "--to", tmp_path / "stick"]
    assert call("pull", "disc", *words).exit_code == 0
    assert "disc" in (said := call("selftest", tmp_path / "stick").output)
    assert "2 golden images judged as published" in said
