"""The examples in other languages, and without our package, decide as the line does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ad_models import Batch, create
from tasks.documents.threshold import Thresholds
from tasks.images.decode import decode_image
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.models.export import export_onnx
from tasks.models.inspector import Inspector
from tasks.models.pixels import write_inspector
from tasks.models.release_model import ReleaseModel
from tasks.models.verdict import VerdictModel
from tasks.promotion.trial import verdict_differences
from tasks.spec.schema import Image as Spec
from tasks.workspace.files import write_json
from tasks.workspace.paths import CARD, INSPECT, MODEL

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
GEOMETRY = {"size": [64, 64], "resize": "pad"}
GOLDEN = 12


def drawn(random, height, width):
    """A picture (H, W, 3) of 8 bits, smooth, with a dark stroke now and then."""
    coarse = Image.fromarray(random.integers(60, 200, (6, 6, 3), dtype=np.uint8))
    pixels = np.array(coarse.resize((width, height), Image.Resampling.BICUBIC))
    if random.random() < 0.5:
        top = random.integers(0, height // 2)
        pixels[top : top + height // 6, width // 4 : width // 2] //= 4
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A release of PaDiM, its golden images, and rows as those of scores.csv."""
    folder = tmp_path_factory.mktemp("release")
    random = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(GOLDEN)]
    for name in names:
        drawn(random, 80, 96).save(folder / name)
    write_json(folder / CARD, {"image": GEOMETRY})
    seen = [Preprocess(Spec(**GEOMETRY))(read_image(folder / name)) for name in names]
    detector = create("padim", backbone="drawnet", weights="random", dims=20)
    detector.fit([Batch(torch.from_numpy(np.stack(seen)))]).save(folder / MODEL)
    export_onnx(folder, (64, 64))
    inspector = Inspector.load(folder)
    scores = [inspector.inspect(read_image(folder / name)).score for name in names]
    accept, threshold = np.quantile(scores, [0.6, 0.8])
    Thresholds(threshold=threshold, accept=accept).write(folder / "threshold.json")
    write_inspector(folder)
    rows = [{"path": n, "score": repr(s)} for n, s in zip(names, scores, strict=True)]
    return folder, rows


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Fifty pictures of other sizes, depths, colours and formats than those of the release."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(7)
    found = []
    modes = ("RGB", "L", "RGBA", "P", "LA", "1", "16", "turned", "JPEG", "TIFF")
    for number in range(50):
        mode = modes[number % len(modes)]
        image = drawn(random, *(int(side) for side in random.integers(30, 400, 2)))
        path = folder / f"{number}-{mode}.{'jpg' if mode in ('turned', 'JPEG') else 'png'}"
        if mode == "16":
            deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
            Image.fromarray(deep + random.integers(-90, 90, deep.shape).astype(np.uint16)).save(
                path
            )
        elif mode == "turned":
            exif = Image.Exif()
            exif[0x0112] = 1 + number % 8
            image.save(path, exif=exif)
        elif mode == "TIFF":
            path = path.with_suffix(".tif")
            image.save(path)
        else:
            (image if mode in ("RGB", "JPEG") else image.convert(mode)).save(path)
        found.append(path)
    return found


def said(command, paths):
    """Decision, score and displayed score of each picture, as a program printed them."""
    ended = subprocess.run(
        [*map(str, command), *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert ended.returncode in (0, 1, 2), ended.stderr
    lines = [line.rsplit(": ", 1)[1].split() for line in ended.stdout.splitlines()]
    return [(decision, float(score), float(shown)) for decision, score, shown in lines]


def agree(release, found, paths, tolerance):
    """What a program said is what the line says."""
    model = ReleaseModel.load(release, "cpu")
    assert len(found) == len(paths)
    for (decision, score, shown), path in zip(found, paths, strict=True):
        told = model.result(model.inspector.inspect(read_image(path)))
        assert score == pytest.approx(told["score"], rel=tolerance), path
        assert shown == pytest.approx(told["displayed"], abs=0.06 + 1e3 * tolerance), path
        limits = (told["threshold"], told["accept"])
        if min(abs(score - limit) for limit in limits) > tolerance * abs(score):
            assert decision == told["decision"], path


def test_without_our_package_the_golden_images_are_decided_as_they_were(release):
    folder, rows = release
    paths = [folder / row["path"] for row in rows]
    command = [sys.executable, EXAMPLES / "inspect_pictures.py", folder / INSPECT]
    found = said(command, paths)
    model = ReleaseModel.load(folder, "cpu")
    told = [model.result(model.inspector.inspect(read_image(path))) for path in paths]
    assert [one[0] for one in found] == [one["decision"] for one in told]
    assert {one[0] for one in found} == {"good", "review", "defect"}


def test_pictures_of_any_kind_are_decided_as_by_the_line(release, pictures):
    folder, _ = release
    command = [sys.executable, EXAMPLES / "inspect_pictures.py", folder / INSPECT]
    deep = [path for path in pictures if "-16" in path.name]
    plain = [path for path in pictures if path not in deep]
    agree(folder, said(command, plain), plain, 1e-4)
    agree(folder, said(command, deep), deep, 5e-3)  # of 16 bits, 8 are seen
    everything = [one[0] for one in said([*command, "--threshold", "1e9"], plain)]
    assert "defect" not in everything


def test_the_gate_tries_that_very_file(release, tmp_path):
    folder, rows = release
    given = Thresholds.read(folder / "threshold.json").limits
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    Thresholds(threshold=given[1] * 10, accept=given[0] * 10).write(other / "threshold.json")
    write_inspector(other)  # decides by other limits than those that were evaluated
    right, wrong = (VerdictModel(place / INSPECT) for place in (folder, other))
    assert verdict_differences(right, folder, rows, given, 1e-3) == []
    found = verdict_differences(wrong, folder, rows, given, 1e-3)
    assert found and all("is 'good'" in line for line in found)
    off = [row | {"score": repr(float(row["score"]) * 1.01)} for row in rows[:1]]
    assert len(verdict_differences(right, folder, off, (0.0, 0.0), 1e-3)) == 1


def netpbm(paths, folder):
    """The pictures as frame grabbers hold them: PPM and PGM of 8 bits."""
    found = []
    for path in paths:
        pixels = decode_image(path.read_bytes(), path).pixels
        if pixels.dtype == np.uint8:
            grey = pixels.shape[2] == 1
            found.append(folder / f"{path.stem}.{'pgm' if grey else 'ppm'}")
            Image.fromarray(pixels[..., 0] if grey else pixels).save(found[-1])
    return found


def as_png(paths):
    """The same pixels in a format that the line reads."""
    for path in paths:
        Image.open(path).save(path.with_suffix(".png"))
    return [path.with_suffix(".png") for path in paths]


def test_cpp(release, pictures, tmp_path):
    compiler, home = shutil.which("c++"), os.environ.get("ONNXRUNTIME_HOME", "/usr")
    header = next(Path(home, "include").rglob("onnxruntime_cxx_api.h"), None)
    if compiler is None or header is None:
        pytest.skip("no C++ compiler, or no onnxruntime_cxx_api.h below ONNXRUNTIME_HOME/include")
    words = [compiler, "-std=c++17", EXAMPLES / "inspect_picture.cpp", f"-I{header.parent}"]
    words += [f"-L{home}/lib", f"-Wl,-rpath,{home}/lib", "-lonnxruntime", "-o", tmp_path / "made"]
    subprocess.run(list(map(str, words)), check=True)
    grabbed = netpbm(pictures, tmp_path)
    found = said([tmp_path / "made", release[0] / INSPECT], grabbed)
    agree(release[0], found, as_png(grabbed), 1e-4)


def test_c_sharp(release, pictures, tmp_path):
    if shutil.which("dotnet") is None:
        pytest.skip("no dotnet")
    shutil.copytree(EXAMPLES / "InspectPicture", tmp_path / "code")
    words = ["dotnet", "build", tmp_path / "code", "-o", tmp_path / "made"]
    built = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if built.returncode and "NU1" in built.stdout:
        pytest.skip("dotnet cannot restore Microsoft.ML.OnnxRuntime")
    assert built.returncode == 0, built.stdout
    grabbed = netpbm(pictures, tmp_path)
    found = said([tmp_path / "made" / "InspectPicture", release[0] / INSPECT], grabbed)
    agree(release[0], found, as_png(grabbed), 1e-4)


def test_examples_are_short():
    for path in (*EXAMPLES.glob("inspect*"), *EXAMPLES.glob("*/*.cs")):
        assert len(path.read_text().splitlines()) <= 60, path
