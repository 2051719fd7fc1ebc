"""Each check fails for its reason and names its file; good products pass."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tasks.spec.read import check as check_spec
from tasks.spec.schema import Product, Validation
from tasks.validate import ValidationResult, check_images, failure_text
from tasks.workspace.errors import SpecError

DATASETS = Path(
    os.environ.get("INSPECTLINE_DATASETS", Path(__file__).parents[3] / "shared" / "datasets")
)
# Great Expectations imports a module that Python 3.11 has deprecated
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")


def texture(seed: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (*size, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def square(size: int = 32) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[4:8, 4:8] = 255
    return mask


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for i in range(6):
        save(root / f"train/good/{i}.png", texture(i))
    save(root / "test/good/ä.PNG", texture(20))
    save(root / "test/crack/1.png", texture(21))
    save(root / "ground_truth/crack/1_mask.png", square())
    return root


def check(images: Path, **rules: object) -> ValidationResult:
    return check_images(images, images.parent / "validation", Validation(**rules))


def found(findings: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(finding["check"], finding["file"]) for finding in findings}


def test_good_product_passes_with_equal_bytes(images: Path, tmp_path: Path):
    result = check_images(images, tmp_path / "a", {})
    check_images(images, tmp_path / "b")
    assert (result.passed, result.failures, result.warnings) == (True, [], [])
    assert result.counts["train_good"] == 6
    assert result.counts["defects"] == {"crack": 1}
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert {"manifest.csv", "result.json", "docs/index.html"} <= {str(name) for name in names}
    for name in names:
        first, second = tmp_path / "a" / name, tmp_path / "b" / name
        assert first.is_dir() or first.read_bytes() == second.read_bytes(), name
    assert not list(tmp_path.glob(".*partial"))


def test_result_json_says_the_same(images: Path):
    result = check(images)
    written = json.loads((images.parent / "validation" / "result.json").read_text())
    assert written["passed"] is True
    assert written["counts"] == result.counts
    assert written["ranges"]["width"] == {"min": 32, "median": 32, "max": 32}
    assert str(images.parent) not in json.dumps(written)


def test_docs_ask_no_other_host(images: Path):
    save(images / "train/good/7.png", texture(0))
    pages = list(check(images).docs.parent.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        assert not re.search(r"""(src|href)=["']https?:""", page.read_text())


def test_bad_files_are_all_named(images: Path):
    data = (images / "train/good/0.png").read_bytes()
    (images / "train/good/cut.png").write_bytes(data[: len(data) // 2])
    (images / "train/good/text.png").write_text("hello")
    (images / "train/good/zero.png").touch()
    (images / "ground_truth/crack/nobody_mask.png").write_bytes(
        (images / "ground_truth/crack/1_mask.png").read_bytes()
    )
    save(images / "test/crack/2.png", texture(30))
    save(images / "ground_truth/crack/2_mask.png", square(16))
    save(images / "test/crack/3.png", texture(31))
    save(images / "ground_truth/crack/3.png", 0 * square())
    (images / "test/good/leak.png").write_bytes(data)
    save(images / "train/good/tiny.png", texture(32, (8, 40)))
    result = check(images)
    assert not result.passed
    assert found(result.failures) == {
        ("readable", "train/good/cut.png"),
        ("readable", "train/good/text.png"),
        ("readable", "train/good/zero.png"),
        ("readable", "ground_truth/crack/nobody_mask.png"),
        ("mask_size", "test/crack/2.png"),
        ("mask_empty", "test/crack/3.png"),
        ("leak", "test/good/leak.png"),
        ("min_size", "train/good/tiny.png"),
    }
    text = failure_text(result, limit=3)
    assert text.splitlines()[3] == "and 5 more"
    assert text.endswith(f"all findings: {result.docs}")
    reasons = {finding["check"]: finding["reason"] for finding in result.failures}
    assert "16 x 16 pixels, its image 32 x 32" in reasons["mask_size"]
    assert "same content as train/good/0.png" in reasons["leak"]
    assert "<td>test/good/leak.png</td>" in result.docs.read_text()


@pytest.mark.parametrize("kept", [0, 1])
def test_too_few_training_images(images: Path, kept: int):
    for path in sorted((images / "train/good").iterdir())[kept:]:
        path.unlink()
    result = check(images)
    assert found(result.failures) == {("min_train", "")}
    assert f"train/good: {kept}, at least 2 are needed; ingest more" in failure_text(result)


def test_empty_folder_fails_and_writes_results(tmp_path: Path):
    (tmp_path / "images/train/good").mkdir(parents=True)
    result = check(tmp_path / "images")
    assert found(result.failures) == {("min_train", "")}
    assert (tmp_path / "validation/manifest.csv").read_text().startswith("path,split,label")


def test_wanted_test_images(images: Path):
    result = check(images, min_test_good=2, min_test_defective=1)
    assert found(result.failures) == {("min_test_good", "")}


def test_black_and_blurred_training_images_fail(images: Path):
    save(images / "train/good/black.png", texture(1) * 0)
    blurred = Image.fromarray(texture(9)).filter(ImageFilter.GaussianBlur(5))
    save(images / "train/good/blurred.png", np.asarray(blurred))
    result = check(images)
    assert {file for _, file in found(result.failures)} == {
        "train/good/black.png",
        "train/good/blurred.png",
    }
    assert "black, blank, blurred?" in failure_text(result)


@pytest.mark.parametrize("kind", ["one value", "a ramp"])
def test_images_that_show_nothing_are_all_named(tmp_path: Path, kind: str):
    ramp = np.arange(32)[None] * (0 if kind == "one value" else 4) + np.zeros((32, 1))
    names = {save(tmp_path / f"images/train/good/{n}.png", (ramp + n).astype(np.uint8)).name
             for n in range(5)}  # fmt: skip
    result = check(tmp_path / "images")
    assert {Path(one["file"]).name for one in result.failures} - {""} == names
    words = "shows nothing (one value" if kind == "one value" else "black, blank, blurred?"
    assert words in failure_text(result)


@pytest.mark.parametrize("share", [0.6, 0.99])
def test_large_masks_are_doubted_or_refused(images: Path, share: float):
    mask = np.zeros((32, 32), np.uint8)
    mask[:, : int(32 * share)] = 255
    if share > 0.9:
        mask = 255 - square()
    save(images / "ground_truth/crack/1_mask.png", mask)
    result = check(images)
    assert result.passed == (share < 0.9)
    doubted = {one["reason"] for one in result.warnings if one["check"] == "mask_large"}
    assert bool(doubted) == (share == 0.6)
    assert share < 0.9 or "mask marks 98 %" in failure_text(result)


def test_unusual_images_are_warnings(images: Path):
    save(images / "train/good/dim.png", texture(1) // 2)
    save(images / "test/good/black.png", texture(1) * 0)
    result = check(images)
    assert result.passed
    assert {("brightness", "train/good/dim.png"), ("brightness", "test/good/black.png")} <= found(
        result.warnings
    )


def test_repeats(images: Path):
    data = (images / "train/good/0.png").read_bytes()
    (images / "train/good/again.png").write_bytes(data)
    changed = texture(1)
    changed[0, 0] += 1
    save(images / "test/good/near.png", changed)
    (images / "test/crack/two.png").write_bytes((images / "test/good/ä.PNG").read_bytes())
    result = check(images)
    assert found(result.failures) == {("leak", "test/good/ä.PNG")}
    assert found(result.warnings) == {
        ("duplicate", "train/good/again.png"),
        ("near_duplicate", "train/good/1.png"),
    }
    assert found(check(images, near_duplicate_bits=None).warnings) == {
        ("duplicate", "train/good/again.png")
    }


def test_long_lists_of_warnings_are_cut(images: Path):
    for i in range(60):
        (images / f"train/good/copy{i:02d}.png").write_bytes(
            (images / "train/good/0.png").read_bytes()
        )
    warnings = check(images).warnings
    assert len(warnings) == 51
    assert warnings[-1]["reason"] == "and 10 more images of this kind"


def test_size_channels_and_bits(images: Path):
    save(images / "train/good/grey.png", texture(40)[..., 0])
    save(images / "train/good/wide.png", texture(41, (32, 48)))
    save(images / "train/good/deep.png", texture(42)[..., 0].astype(np.uint16) * 257)
    result = check(images)
    assert result.passed
    assert {("channels", ""), ("bits", "")} <= found(result.warnings)
    result = check(images, size=[32, 32], channels=3, bits=8)
    assert found(result.failures) == {
        ("size", "train/good/wide.png"),
        ("channels", "train/good/grey.png"),
        ("channels", "train/good/deep.png"),
        ("bits", "train/good/deep.png"),
    }


def test_results_of_the_last_run_are_replaced(images: Path):
    check(images)
    (images.parent / "validation" / ".gitignore").write_text("/docs\n")
    (images / "train/good/text.png").write_text("hello")
    result = check(images)
    written = json.loads((images.parent / "validation" / "result.json").read_text())
    assert written["failures"] == result.failures != []
    assert (images.parent / "validation" / ".gitignore").exists()
    assert len(list(result.docs.parent.rglob("*.html"))) == 5


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"chanels": 3}, "unknown key 'validation.chanels'; did you mean 'channels'"),
        ({"x": 3}, "unknown key 'validation.x'; known: size"),
        ({"channels": 4}, "validation.channels.*1 or 3.*got 4"),
        ({"channels": 1.5}, "validation.channels"),
        ({"size": 256}, r"validation.size.*got 256"),
        ({"size": [256, "x"]}, "validation.size.1: .*integer.*got 'x'"),
        ({"min_train": 1}, "validation.min_train.*greater than or equal to 2, got 1"),
        ({"near_duplicate_bits": 65}, "less than or equal to 64, got 65"),
        ({"range_tolerance": 0}, "validation.range_tolerance.*greater than 0, got 0"),
        ({"extreme_ratio": "big"}, "validation.extreme_ratio.*number.*got 'big'"),
        ([1], "validation: .*got "),
    ],
)
def test_wrong_rules(rules, words: str):
    with pytest.raises(SpecError, match=words):
        check_spec(Product, {"validation": rules}, Path("product.yaml"))


@pytest.mark.skipif(not DATASETS.is_dir(), reason=f"no data sets at {DATASETS}")
@pytest.mark.parametrize(
    "name",
    [
        *(f"piped_paper/PA_{kind}" for kind in ("BDP01_TL", "BRG01_RL", "FLR01_TL", "GLA01_TL")),
        "mvtec_ad_512/bottle",
        "mvtec_ad_512/screw",
        "magnetic_tile",
    ],
)
def test_real_products_pass(tmp_path: Path, name: str):
    result = check_images(DATASETS / name, tmp_path / "validation")
    assert result.passed, failure_text(result)
    assert len(result.warnings) < 10
