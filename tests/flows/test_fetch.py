"""Public sets from a server on loopback: downloaded, checked, laid out, taken in as products."""

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tasks.arrival.public import download
from tasks.arrival.public.catalogue import catalogue
from tasks.images.decode import decode_image
from tasks.spec.read import read_product
from tasks.validate import check_images
from tasks.workspace.files import read_rows
from tests.flows.conftest import refused
from tests.public_sets import DRAWN, mvtec_ad, packed

# What each category of the drawn sets has to give: images by folder, and masks
EXPECTED = {
    "mvtec-ad": {"train/good": 4, "test/good": 2, "test/broken": 2, "ground_truth/broken": 2},
    "mpdd": {"train/good": 4, "test/good": 2, "test/broken": 2, "ground_truth/broken": 2},
    "visa": {"train/good": 4, "test/good": 2, "test/bad": 2, "ground_truth/bad": 2},
    "btad": {"train/good": 4, "test/good": 2, "test/ko": 2, "ground_truth/ko": 2},
    "kolektor-sdd2": {
        "train/good": 4,
        "test/good": 2,
        "test/defect": 1,
        "calibration/defect": 1,
        "ground_truth/defect": 2,
    },
    "magnetic-tile": {
        "train/good": 4,
        "test/good": 2,
        "test/blowhole": 1,
        "test/fray": 1,
        "test/uneven": 1,
        "ground_truth/blowhole": 1,
        "ground_truth/fray": 1,
    },
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(download, "WAITS", (0.0,))


@pytest.fixture
def fetch(web, command, tmp_path):
    """A function that fetches a drawn set from the server, with more words if wanted."""

    def call(name, *words, files=None, agree=True, right=True):
        archive = packed(files or DRAWN[name](), tmp_path / f"packed-{catalogue()[name].file}")
        web.files["set"] = archive.read_bytes()
        given = ["--to", tmp_path / "public", "--url", web.url("set"), *words]
        if right:
            given += ["--sha256", hashlib.sha256(web.files["set"]).hexdigest()]
        return command(tmp_path, "fetch", name, *given, *["--accept-licence"] * agree)

    return call


def counted(folder: Path) -> dict[str, int]:
    """Number of files by folder."""
    found: dict[str, int] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            place = path.parent.relative_to(folder).as_posix()
            found[place] = found.get(place, 0) + 1
    return found


@pytest.mark.parametrize("name", DRAWN)
def test_each_set_becomes_products_that_validation_accepts(name, fetch, command, make, tmp_path):
    result = fetch(name)
    assert result.exit_code == 0, result.output
    known = catalogue()[name]
    assert known.licence in result.output and known.citation in result.output
    table = tmp_path / "public" / name / "products.csv"
    rows = read_rows(table)
    for row in rows:
        assert counted(Path(row["folder"])) == EXPECTED[name]
    for mask in table.parent.rglob("*_mask.png"):
        assert set(np.unique(decode_image(mask.read_bytes(), mask).pixels)) == {0, 255}
    workspace = make(tmp_path / "ws", defaults__validation={"min_train": 2})
    begun = command(workspace, "new", "--table", table)
    assert begun.exit_code == 0, begun.output
    assert begun.output.count("0 files refused") == len(rows), begun.output
    for row in rows:
        checked = check_images(workspace.images(row["name"]), tmp_path / "check" / row["name"])
        assert checked.failures == [], checked.failures
    assert [row["name"] for row in rows] == workspace.products


def test_what_the_images_ask_of_a_spec_goes_along(fetch, command, make, tmp_path):
    fetch("magnetic-tile")
    workspace = make(tmp_path / "ws")
    command(workspace, "new", "--table", tmp_path / "public" / "magnetic-tile" / "products.csv")
    assert read_product(workspace.root, "magnetic-tile").training.order == r"_(\d+)$"


def test_a_broken_connection_is_no_matter(fetch, web):
    web.cuts = [700, 5000]
    assert fetch("btad", "-c", "02").exit_code == 0
    assert [asked.get("Range") for asked in web.asked] == [None, "bytes=700-", "bytes=5700-"]


def test_nothing_is_downloaded_without_agreement(fetch, web, tmp_path):
    refused(fetch("visa", agree=False), "did not agree to the licence", "--accept-licence")
    assert not web.asked and not (tmp_path / "public").exists()


def test_only_the_categories_asked_for(fetch, web, tmp_path):
    folder = tmp_path / "public" / "mvtec-ad"
    assert "bottle: 4 good to train on" in fetch("mvtec-ad", "--category", "bottle").output
    assert not (folder / "screw").exists()
    more = fetch("mvtec-ad")  # from the archive that is there
    assert "screw: " in more.output and "bottle: " not in more.output and len(web.asked) == 1
    assert [row["name"] for row in read_rows(folder / "products.csv")] == ["bottle", "screw"]
    assert "not in " in more.output and "zipper" in more.output
    refused(fetch("mvtec-ad", "-c", "bottel"), "no category 'bottel'", "did you mean 'bottle'?")
    again = fetch("mvtec-ad", "-c", "bottle", "-c", "screw")
    assert again.exit_code == 0 and "already holds all of that" in again.output


def test_a_wrong_checksum_is_refused_and_the_file_moved_away(fetch, tmp_path):
    result = fetch("btad", right=False)
    refused(result, "and not 461c9387", "--sha256", "It was moved to")
    folder = tmp_path / "public"
    assert not list((folder / "btad").iterdir())
    assert [path.name for path in (folder / ".archives").glob("btad*.refused")]
    assert fetch("btad").exit_code == 0


def test_the_first_checksum_holds_where_none_is_published(fetch, tmp_path):
    first = fetch("mpdd", "-c", "tubes", right=False)
    assert first.exit_code == 0 and "unknown before, kept now" in first.output
    assert "not checked: whether" in first.output and "no checksum is known" in first.output
    archive = tmp_path / "public" / ".archives" / catalogue()["mpdd"].file
    source = json.loads((tmp_path / "public" / "mpdd" / "SOURCE.json").read_text())
    assert source["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.unlink()
    other = mvtec_ad(("bracket_black",), "MPDD/")
    refused(fetch("mpdd", files=other, right=False), f"and not {source['sha256']}")


def test_a_set_without_an_address_says_where_it_is(command, tmp_path):
    result = command(tmp_path, "fetch", "mpdd", "--to", tmp_path, "--accept-licence")
    refused(result, "https://github.com/stepanje/MPDD", "--archive FILE")


def test_an_archive_or_a_folder_that_is_here_already(command, tmp_path):
    files = mvtec_ad(("screw",))
    for name, content in files.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for number, archive in enumerate((packed(files, tmp_path / "screw.tar.xz"), tmp_path / "mine")):
        to = tmp_path / f"public{number}"
        words = ("--archive", archive, "--accept-licence", "-c", "screw")
        result = command(tmp_path, "fetch", "mvtec-ad", "--to", to, *words)
        assert result.exit_code == 0, result.output
        assert counted(to / "mvtec-ad" / "screw") == EXPECTED["mvtec-ad"]
    assert len(list((tmp_path / "mine").rglob("*.png"))) == 10  # the user's files stay


def test_an_archive_of_something_else(fetch, tmp_path):
    refused(fetch("visa", files={"a/b.png": b"x"}), "no split_csv/1cls.csv")
    refused(fetch("btad", files={"a/b.png": b"x"}), "holds none of 01, 02, 03")
    assert not list((tmp_path / "public" / "btad").iterdir())


@pytest.mark.parametrize("name", ["../escape.png", "/tmp/escape.png", "bottle/train/good/link.png"])
def test_a_hostile_archive_writes_nothing(name, command, tmp_path):
    archive = packed(mvtec_ad(), tmp_path / "bad.tar")
    with tarfile.open(archive, "a") as tape:
        info = tarfile.TarInfo(name)
        if "link" in name:
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tape.addfile(info)
    to = tmp_path / "public"
    words = ("--to", to, "--archive", archive, "--accept-licence")
    refused(command(tmp_path, "fetch", "mvtec-ad", *words), "get the file again at")
    assert not list((to / "mvtec-ad").iterdir()) and not (tmp_path / "escape.png").exists()


def test_an_unknown_set(command, tmp_path):
    refused(command(tmp_path, "fetch", "mvtec", "--accept-licence"), "did you mean 'mvtec-ad'?")
