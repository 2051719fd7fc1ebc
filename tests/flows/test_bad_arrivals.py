"""Bad images, archives and names given to `ingest`: a clear text, nothing outside is touched."""

import io
import tarfile
import zipfile

import pytest
from PIL import Image

from tests.flows.conftest import refused


def truncate(source):
    path = source / "train" / "good" / "000.png"
    path.write_bytes(path.read_bytes()[:500])


def text(source):
    (source / "test" / "good" / "000.png").write_text("no image")


def small_mask(source):
    path = next(source.glob("ground_truth/*/000_mask.png"))
    Image.open(path).resize((10, 10)).save(path)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [(truncate, "train/good/000.png"), (text, "test/good/000.png"), (small_mask, "000_mask.png")],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bad_file_is_named_and_the_others_come_in(workspace, source, command, spoil, name):
    spoil(source)
    result = command(workspace, "ingest", "cap", source)
    assert name in result.output and "1 file" in result.output, result.output
    assert len(list(workspace.images("cap").glob("train/good/*.png"))) >= 11


def archive(path, source, add):
    """A tar or zip of the images with one more member."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for image in source.rglob("*.png"):
                file.write(image, image.relative_to(source))
            file.writestr(add, "x")
    else:
        with tarfile.open(path, "w") as file:
            file.add(source, "source")
            file.addfile(add, io.BytesIO(b""))
    return path


def link(kind):
    member = tarfile.TarInfo("source/train/good/link.png")
    member.type, member.linkname = kind, "/etc/passwd"
    return member


def zip_link():
    member = zipfile.ZipInfo("train/good/link.png")
    member.create_system, member.external_attr = 3, 0o120777 << 16
    return member


@pytest.mark.parametrize(
    ("name", "add"),
    [
        ("up.zip", "../../evil.png"),
        ("link.zip", zip_link()),
        ("link.tar", link(tarfile.SYMTYPE)),
        ("hard.tar", link(tarfile.LNKTYPE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_that_reaches_out_is_refused(workspace, source, command, tmp_path, name, add):
    result = command(workspace, "ingest", "cap", archive(tmp_path / name, source, add))
    member = add if isinstance(add, str) else getattr(add, "name", None) or add.filename
    assert member in result.output
    assert not list(workspace.images("cap").rglob("link.png"))
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize("name", ["a b", "a/b", "..", "../up", "", "ü", "con", "x" * 65, "-rf"])
def test_a_name_that_is_no_folder_everywhere_is_refused(workspace, samples, command, name):
    before = sorted(workspace.root.rglob("*"))
    refused(command(workspace, "ingest", "--", name, samples / "cap"), "cannot name a product")
    assert sorted(workspace.root.rglob("*")) == before


def test_missing_and_empty_sources_are_refused(workspace, command, tmp_path):
    (tmp_path / "empty" / "train" / "good").mkdir(parents=True)
    refused(command(workspace, "ingest", "cap", tmp_path / "nowhere"), "nowhere")
    refused(command(workspace, "ingest", "cap", tmp_path / "empty"), "empty")
