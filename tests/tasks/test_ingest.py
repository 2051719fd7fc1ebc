"""What arrives, what is refused, and that a crash leaves only whole files."""

import errno
import io
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.arrival.intake import IngestReport
from tasks.arrival.labels import read_labels
from tasks.images.read_image import read_mask
from tasks.ingest import ingest
from tasks.workspace import files as workspace_files
from tasks.workspace.errors import DataError
from tasks.workspace.names import check_product_name

RNG = np.random.default_rng(2)
REPOSITORY = Path(__file__).parents[2]


def save(path: Path, pixels: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (16, 16), dtype=np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path)
    return path


def square() -> np.ndarray:
    mask = np.zeros((16, 16), np.uint8)
    mask[4:8, 4:8] = 255
    return mask


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "bottle"
    for name in ("train/good/0.png", "train/good/1.PNG", "test/good/0.png", "test/crack/ä.png"):
        save(root / name)
    save(root / "ground_truth/crack/ä_mask.png", square())
    save(root / "test/crack/plain.jpg")
    save(root / "ground_truth/crack/plain.png", square())
    (root / "readme.txt").write_text("read me")
    (root / "train/good/Thumbs.db").write_text("x")
    (root / "train/good/.hidden.png").write_text("x")
    return root


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "images"


def take(source: str | Path, images: Path) -> IngestReport:
    return ingest(source, images, images.parent / "scratch")


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


EXPECTED = [
    "ground_truth/crack/plain_mask.png",
    "ground_truth/crack/ä_mask.png",
    "test/crack/plain.jpg",
    "test/crack/ä.png",
    "test/good/0.png",
    "train/good/0.png",
    "train/good/1.PNG",
]


def test_layout_is_copied_once(source: Path, images: Path):
    before = files(source)
    steps: list[tuple[int, int]] = []
    first = ingest(source, images, images.parent / "scratch", lambda *step: steps.append(step))
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert list(files(images)) == EXPECTED
    assert (len(first.new), len(first.masks), first.refused) == (5, 2, [])
    assert files(source) == before
    second = take(source, images)
    assert (second.new, len(second.known), second.changed) == ([], 5, False)
    assert list(files(images)) == EXPECTED
    assert not list((images.parent / "scratch").iterdir())


def test_folder_of_good_images_alone(tmp_path: Path, images: Path):
    save(tmp_path / "photos/a.png")
    save(tmp_path / "photos/monday/a.png")
    save(tmp_path / "photos/monday/b.JPG")
    report = take(tmp_path / "photos", images)
    names = sorted(Path(name).name for name in report.new)
    assert names[1:] == ["a.png", "b.JPG"]
    assert names[0].startswith("a-")
    assert all(name.startswith("train/good/") for name in report.new)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
@pytest.mark.parametrize("top", ["", "bottle"], ids=["bare", "in a folder"])
def test_archives(source: Path, images: Path, tmp_path: Path, kind: str, top: str):
    import shutil

    root = source if not top else source.parent
    packed = shutil.make_archive(str(tmp_path / "out" / "packed"), kind, root, top or None)
    report = take(packed, images)
    assert (len(report.new), len(report.masks), report.refused) == (5, 2, [])
    assert list(files(images)) == EXPECTED


def zip_with(path: Path, name: str, mode: int = 0) -> None:
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        file.writestr(info, b"x")


def tar_with(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> None:
    with tarfile.open(path, "w:gz") as file:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info, io.BytesIO())


EVIL = ["../evil.png", "a/../../evil.png", "/evil.png", "C:\\evil.png", "e" * 250 + "evil.png"]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("write", [zip_with, tar_with])
def test_members_that_point_outside(tmp_path: Path, images: Path, write, name: str):
    write(tmp_path / "in.archive", name)
    with pytest.raises(DataError, match=r"(?s)refused .*evil.png: (points outside|is too long)"):
        take(tmp_path / "in.archive", images)
    assert not images.exists()
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("name", EVIL)
def test_a_member_is_refused_by_name_and_the_rest_is_taken(tmp_path: Path, images: Path, name):
    save(tmp_path / "fine.png")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        file.write(tmp_path / "fine.png", "train/good/fine.png")
        file.writestr(name, b"x")
        file.write(tmp_path / "fine.png", "train/good/again.png")
        file.filelist[-1].filename = "./train//good/fine.png"
        file.write(tmp_path / "fine.png", "train/good/fine.png/below.png")
    report = take(tmp_path / "in.zip", images)
    assert report.new == ["train/good/fine.png"]
    reasons = dict(report.refused)
    assert set(reasons) == {name, "./train//good/fine.png", "train/good/fine.png/below.png"}
    assert "has the place of 'train/good/fine.png'" in reasons["./train//good/fine.png"]
    assert "which is a file" in reasons["train/good/fine.png/below.png"]


def test_a_member_that_is_there_twice_is_told_of(tmp_path: Path, images: Path):
    save(tmp_path / "fine.png")
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "in.zip", "w") as file,
    ):
        file.write(tmp_path / "fine.png", "train/good/1.png")
        file.writestr("train/good/1.png", b"x")
    report = take(tmp_path / "in.zip", images)
    assert report.new == ["train/good/1.png"]
    assert report.refused == [
        ("train/good/1.png", "is in the archive twice; the first one is taken")
    ]


def test_links_and_devices_in_archives(tmp_path: Path, images: Path):
    zip_with(tmp_path / "link.zip", "train/good/l.png", 0o120777)
    kinds = {"sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}
    for name, kind in kinds.items():
        tar_with(tmp_path / f"{name}.tgz", "train/good/l.png", kind)
    for name in ("link.zip", "sym.tgz", "hard.tgz", "fifo.tgz"):
        with pytest.raises(DataError, match=r"refused train/good/l.png: is a link or a device"):
            take(tmp_path / name, images)


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_damaged_archive(source: Path, images: Path, tmp_path: Path, kind: str):
    import shutil

    packed = Path(shutil.make_archive(str(tmp_path / "out" / "p"), kind, source))
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=f"{packed.name}: .*(damaged|whole zip or tar)"):
        take(packed, images)
    assert not images.exists()


def test_archive_larger_than_the_disk(source: Path, images: Path, tmp_path: Path, monkeypatch):
    import shutil

    packed = shutil.make_archive(str(tmp_path / "out" / "p"), "zip", source)
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(workspace_files.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"p.zip unpacked takes .* MB.*free some space"):
        take(packed, images)


def test_bucket(source: Path, images: Path, monkeypatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        import boto3

        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="plant")
        for name, content in files(source).items():
            s3.put_object(Bucket="plant", Key=f"line/bottle/{name}", Body=content)
        s3.put_object(Bucket="plant", Key="line/bottle2/train/good/x.png", Body=b"x")
        report = take("s3://plant/line/bottle", images)
        assert (len(report.new), len(report.masks), report.refused) == (5, 2, [])
        assert list(files(images)) == EXPECTED
        with pytest.raises(DataError, match=r"s3://plant/none: none of 0 objects"):
            take("s3://plant/none", images)
        with pytest.raises(DataError, match=r"s3://nowhere/x: refused with NoSuchBucket"):
            take("s3://nowhere/x", images)
    finally:
        server.stop()


def test_bucket_that_does_not_answer(images: Path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    with pytest.raises(DataError, match=r"s3://plant/x cannot be read.*AWS_ENDPOINT_URL"):
        take("s3://plant/x", images)


def test_same_name_other_content_keeps_both(source: Path, images: Path, tmp_path: Path):
    take(source, images)
    save(tmp_path / "more/test/crack/ä.png")
    other = square()[::-1]
    save(tmp_path / "more/ground_truth/crack/ä_mask.png", other)
    before = files(images)
    report = take(tmp_path / "more", images)
    assert len(report.new) == len(report.masks) == 1
    stem = Path(report.new[0]).stem
    assert stem.startswith("ä-") and len(stem) == 10
    assert report.masks == [f"ground_truth/crack/{stem}_mask.png"]
    assert before.items() <= files(images).items()
    assert take(tmp_path / "more", images).known == report.new


def test_same_content_elsewhere_is_refused(source: Path, images: Path, tmp_path: Path):
    take(source, images)
    path = tmp_path / "leak/test/crack/copy.png"
    path.parent.mkdir(parents=True)
    path.write_bytes((source / "train/good/0.png").read_bytes())
    report = take(tmp_path / "leak", images)
    assert report.new == []
    assert report.refused[0][0] == "test/crack/copy.png"
    assert "same content as train/good/0.png" in report.refused[0][1]


def test_bad_files_are_refused_and_the_others_go_on(source: Path, images: Path):
    data = (source / "train/good/0.png").read_bytes()
    (source / "train/good/cut.png").write_bytes(data[: len(data) // 2])
    (source / "train/good/text.png").write_text("hello")
    (source / "train/good/zero.png").touch()
    (source / "train/good/moving.gif").write_bytes(b"GIF89a")
    (source / "train/good/gone.png").symlink_to(source / "nowhere.png")
    (source / "old").symlink_to(source / "nowhere")
    os.mkfifo(source / "train/good/pipe.png")
    (source / "more.zip").write_bytes(b"PK")
    (source / "train/good/1.png ").write_bytes(data)
    (source / "train/good/2.PNG.").write_bytes(data)
    (source / "train/good/note.txt").symlink_to(source / "nowhere.txt")
    save(source / "train/scratched/1.png")
    save(source / "ground_truth/crack/nobody_mask.png", square())
    save(source / "ground_truth/good/0_mask.png", square())
    save(source / "test/crack/small.png")
    save(source / "ground_truth/crack/small_mask.png", square()[:8])
    save(source / "test/crack/blank.png")
    save(source / "ground_truth/crack/blank_mask.png", 0 * square())
    report = take(source, images)
    reasons = dict(report.refused)
    assert "damaged" in reasons["train/good/cut.png"]
    assert "not an image" in reasons["train/good/text.png"]
    assert "empty" in reasons["train/good/zero.png"]
    assert ".gif is not supported" in reasons["train/good/moving.gif"]
    assert "link to nothing" in reasons["train/good/gone.png"]
    assert "link to nothing" in reasons["old"]
    assert "a pipe" in reasons["train/good/pipe.png"]
    assert "only good images" in reasons["train/scratched/1.png"]
    assert "without its image" in reasons["ground_truth/crack/nobody_mask.png"]
    assert "good image" in reasons["ground_truth/good/0_mask.png"]
    assert "16 x 8 pixels" in reasons["ground_truth/crack/small_mask.png"]
    assert "mask is empty" in reasons["ground_truth/crack/blank_mask.png"]
    for name in ("1.png ", "2.PNG."):
        assert "ends in a space or a dot" in reasons[f"train/good/{name}"]
    assert "an archive in a folder" in reasons["more.zip"]
    assert len(reasons) == 15
    assert {"test/crack/small.png", "test/crack/blank.png"} <= set(report.new)
    assert not [name for name in files(images) if "mask" in name and name not in EXPECTED]
    assert "7 new images, 0 known, 2 new masks, 15 files refused" in report.summary()


def test_files_and_folders_without_permission(source: Path, images: Path):
    (source / "train/good/0.png").chmod(0)
    if os.access(source / "train/good/0.png", os.R_OK):
        pytest.skip("this user may read everything")
    reasons = dict(take(source, images).refused)
    assert "permission denied" in reasons["train/good/0.png"]
    (source / "test/good").chmod(0)
    with pytest.raises(DataError, match="test/good: cannot be read"):
        take(source, images)
    (source / "test/good").chmod(0o700)


def test_mask_added_later_and_mask_changed(source: Path, images: Path):
    mask = source / "ground_truth/crack/ä_mask.png"
    kept = mask.read_bytes()
    mask.unlink()
    take(source, images)
    mask.write_bytes(kept)
    assert take(source, images).masks == ["ground_truth/crack/ä_mask.png"]
    save(mask, square()[::-1])
    reasons = dict(take(source, images).refused)
    assert "has another mask" in reasons["ground_truth/crack/ä_mask.png"]
    assert (images / "ground_truth/crack/ä_mask.png").read_bytes() == kept


def test_sources_without_images(tmp_path: Path, images: Path):
    (tmp_path / "empty/train/good").mkdir(parents=True)
    (tmp_path / "note.txt").write_text("x")
    with pytest.raises(DataError, match=r"none: no such file or folder"):
        take(tmp_path / "none", images)
    with pytest.raises(DataError, match=r"empty: no image found; looked for .bmp.*train/good"):
        take(tmp_path / "empty", images)
    with pytest.raises(DataError, match=r"note.txt: neither a folder nor"):
        take(tmp_path / "note.txt", images)
    with pytest.raises(DataError, match="names no bucket"):
        take("s3://", images)


def test_sources_that_are_not_one_product(source: Path, images: Path, tmp_path: Path):
    with pytest.raises(DataError, match="is a part of"):
        take(source / "test", images)
    with pytest.raises(DataError, match="is a part of"):
        take(source / "test" / "crack", images)
    save(tmp_path / "can/train/good/1.png")
    with pytest.raises(DataError, match=r"several products \(bottle, can\)"):
        take(tmp_path, tmp_path / "elsewhere" / "images")


def test_capitals_are_the_same_layout_and_the_summary_counts_labels(images: Path, tmp_path: Path):
    root = tmp_path / "Drop"
    for name in ("Train/Good/0.png", "Train/Good/1.png", "Test/OK/2.png", "Test/Scratch/3.png"):
        save(root / name)
    save(root / "Ground_Truth/Scratch/3_MASK.png", square())
    report = take(root, images)
    assert list(files(images)) == [
        "ground_truth/scratch/3_mask.png",
        "test/good/2.png",
        "test/scratch/3.png",
        "train/good/0.png",
        "train/good/1.png",
    ]
    assert report.summary().splitlines() == [
        "4 new images, 0 known, 1 new masks, 0 files refused",
        "  test/good 1, test/scratch 1, train/good 2",
    ]
    assert "0 new images, 4 known" in take(root, images).summary()


def test_a_label_keeps_the_spelling_that_the_product_has(images: Path, tmp_path: Path):
    save(images / "test/Scratch/0.png")
    save(tmp_path / "more/test/SCRATCH/1.png")
    assert take(tmp_path / "more", images).new == ["test/Scratch/1.png"]


def test_answers_and_folders_that_are_not_there(images: Path, tmp_path: Path):
    save(tmp_path / "drop/kind a/1.png")
    save(tmp_path / "drop/kind b/2.png")
    with pytest.raises(DataError, match=r"kind a \(1\), kind b \(1\).*--labels 'good=kind a'"):
        take(tmp_path / "drop", images)
    assert not images.exists()
    scratch = images.parent / "scratch"
    with pytest.raises(DataError, match="no images in a folder 'kind c'"):
        ingest(tmp_path / "drop", images, scratch, labels=read_labels(["good=kind c"]))
    labels = read_labels(["good=kind A", "crack=kind b"])
    ingest(tmp_path / "drop", images, scratch, labels=labels)
    assert list(files(images)) == ["test/crack/2.png", "train/good/1.png"]


BOXES = {
    "YOLO": ("labels/1.txt", "0 0.5 0.5 0.1 0.1\n"),
    "Pascal VOC": ("Annotations/1.xml", "<annotation><object><name>x</name></object></annotation>"),
    "COCO": (
        "result.json",
        '{"images": [{"id": 7, "file_name": "images\\/1.png"}], "annotations": [{"image_id": 7}]}',
    ),
    "Label Studio": (
        "export.json",
        '[{"data": {"image": "/data/1.png"}, "annotations": [{"result": [{"type": "x"}]}]}]',
    ),
}


@pytest.mark.parametrize("form", BOXES)
@pytest.mark.parametrize("packed", [False, True])
def test_images_with_boxes_are_not_good_without_a_word(
    images: Path, tmp_path: Path, form: str, packed: bool
):
    import shutil

    root = tmp_path / "export"
    for name in ("images/1.png", "images/2.png"):
        save(root / name)
    file, content = BOXES[form]
    for name, text in ((file, content), ("labels/2.txt", ""), ("classes.txt", "scratch")):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    source = shutil.make_archive(str(tmp_path / "export"), "zip", root) if packed else root
    with pytest.raises(DataError, match=r"annotations mark something .*images \(1\).*--labels"):
        take(source, images)
    labels = read_labels(["good=images"])
    report = ingest(source, images, images.parent / "scratch", labels=labels)
    assert len(report.new) == 2 and report.refused == []


def test_an_image_in_the_place_of_its_mask_is_refused(source: Path, images: Path):
    save(source / "test/crack/same.png")
    picture = Image.open(source / "test/crack/same.png")
    picture.save(source / "ground_truth/crack/same_mask.png", compress_level=1)
    report = take(source, images)
    assert "test/crack/same.png" in report.new
    assert "shows its image itself" in dict(report.refused)["ground_truth/crack/same_mask.png"]


def test_a_source_without_an_end_is_not_read(images: Path, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.zip")
    for source in (tmp_path / "pipe.zip", Path("/dev/zero")):
        with pytest.raises(DataError, match="neither a folder nor a file"):
            take(source, images)


def test_a_file_of_zeros_is_told_at_once(images: Path, tmp_path: Path):
    """As a disk leaves it that failed: no way to unpack it is tried to its end."""
    for name in ("parts.zip", "parts.tar.xz"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 40 << 30)
        with pytest.raises(DataError, match=name):
            take(tmp_path / name, images)


def test_links_to_folders_are_followed_and_loops_end(images: Path, tmp_path: Path):
    save(tmp_path / "store/a.png")
    save(tmp_path / "store/deep/b.png")
    (tmp_path / "store/deep/up").symlink_to(tmp_path / "store")
    (tmp_path / "store/other").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/back").symlink_to(tmp_path / "store")
    save(tmp_path / "other/c.png")
    (tmp_path / "drop/train").mkdir(parents=True)
    (tmp_path / "drop/train/good").symlink_to(tmp_path / "store")
    report = take(tmp_path / "drop", images)
    assert report.new == ["train/good/a.png"]
    assert sorted(name for name, _ in report.refused) == [
        "train/good/deep/b.png",
        "train/good/other/c.png",
    ]


@pytest.mark.parametrize("length", [100, 230, 231, 250])
def test_long_names_are_taken_with_mask_and_double_or_refused_by_name(
    images: Path, tmp_path: Path, length: int
):
    name = "n" * (length - 4) + ".png"
    for source in ("first", "second"):
        save(tmp_path / source / "test/crack" / name)
        save(tmp_path / source / "ground_truth/crack" / name, square())
        save(tmp_path / source / "train/good/short.png")
        report = take(tmp_path / source, images)
        if length > 230:
            assert next(reason for _, reason in report.refused) == (
                "a name of more than 230 bytes; rename the file"
            )
            assert len(report.new) == 1
        else:
            assert (len(report.new), len(report.masks), report.refused) == (2, 1, [])


def test_names_of_refused_files_cannot_write_on_the_terminal(images: Path, tmp_path: Path):
    save(tmp_path / "drop/train/good/0.png")
    odd = "train/good/\x1b[2J\nall is well.png"
    save(tmp_path / "drop" / odd)
    (tmp_path / "drop/train/good/line\u2028end.gif").touch()
    summary = take(tmp_path / "drop", images).summary()
    assert len(summary.splitlines()) == 4
    assert all(line.isprintable() for line in summary.splitlines())
    assert "\\x1b[2J\\nall is well.png: a name that cannot be printed" in summary


CRASH = """
import os, signal, sys
from pathlib import Path
from tasks.images.read_image import read_mask
from tasks.ingest import ingest
left = int(sys.argv[3])
replace = Path.replace
def counted(self, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = counted
ingest(sys.argv[1], Path(sys.argv[2]) / "images", Path(sys.argv[2]) / "scratch")
"""


@pytest.mark.parametrize("step", [1, 2, 5])
def test_kill_leaves_whole_files_and_the_next_run_completes(source: Path, images: Path, step: int):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", CRASH, str(source), str(images.parent), str(step)]
    ended = subprocess.run(command, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    there = files(images) if images.exists() else {}
    assert len(there) == step - 1
    for name in there:
        Image.open(images / name).load()
        if name.startswith("test/crack"):
            assert f"ground_truth/crack/{Path(name).stem}_mask.png" in there
    take(source, images)
    assert list(files(images)) == EXPECTED
    assert not list((images.parent / "scratch").iterdir())


def test_orphaned_mask_of_a_crash_is_replaced(source: Path, images: Path):
    save(images / "ground_truth/crack/ä_mask.png", square()[::-1])
    report = take(source, images)
    assert report.refused == []
    wanted = (source / "ground_truth/crack/ä_mask.png").read_bytes()
    assert (images / "ground_truth/crack/ä_mask.png").read_bytes() == wanted


def test_full_disk_leaves_no_part(source: Path, images: Path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workspace_files.os, "fsync", full)
    with pytest.raises(DataError, match="no space left on the disk of"):
        take(source, images)
    monkeypatch.undo()
    assert not images.exists() or not files(images)
    assert not list((images.parent / "scratch").iterdir())
    assert len(take(source, images).new) == 5


@pytest.mark.parametrize("name", ["bottle", "A-1_b", "x" * 64])
def test_product_names(name: str):
    assert check_product_name(name) == name


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("glass bottle", "glass-bottle"),
        ("a/b", "a-b"),
        ("..", "product"),
        (".hidden", "hidden"),
        ("", "product"),
        ("y" * 65, "y" * 64),
        ("CON", "CON-1"),
        ("Flügel", "Flugel"),
        ("_x", "x"),
    ],
)
def test_product_names_that_are_corrected(name: str, better: str):
    with pytest.raises(DataError, match=f"for example '{better}'"):
        check_product_name(name)
    assert check_product_name(better) == better


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("side", [16, 24], ids=["square", "wide"])
def test_a_mask_lies_on_its_image_as_it_is_shown_or_is_held_up(
    tmp_path: Path, images: Path, orientation: int, side: int
):
    """A mask drawn on the stored pixels, one on what a viewer shows, and one with the same tag."""
    stored = RNG.integers(0, 256, (16, side), dtype=np.uint8)
    mask = np.zeros((16, side), np.uint8)
    mask[2:5, 3:9] = 255
    shown = TURNS[orientation](mask)
    exif = Image.Exif()
    exif[274] = orientation
    root = tmp_path / "phone"
    for name, drawn, options in (
        ("stored", mask, {}),
        ("shown", shown, {}),
        ("with tag", mask, {"exif": exif}),
    ):
        save(root / f"train/good/{name}.png")
        for path, pixels, how in (
            (root / f"test/crack/{name}.png", stored ^ len(name), {"exif": exif}),
            (root / f"ground_truth/crack/{name}.png", drawn, options),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(pixels)).save(path, **how)
    report = take(root, images)
    kept = {Path(name).stem.removesuffix("_mask") for name in report.masks}
    unsure = orientation != 1 and (orientation < 5 or side == 16)
    assert kept == ({"with tag"} if unsure else {"stored", "shown", "with tag"})
    for name, reason in report.refused:
        assert Path(name).stem in ("stored", "shown") and "drawn before or after" in reason
    for name in kept:
        found = read_mask(images / f"ground_truth/crack/{name}_mask.png")
        np.testing.assert_array_equal(found, shown > 0)
    assert not take(root, images).changed
