"""The sample products: their layout, their masks and that they come out the same each time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tasks.arrival.samples.draw import PRODUCTS, Series, draw_pair, draw_samples
from tasks.workspace.errors import DataError, SpecError

DEFECTS = [(name, kind) for name, product in PRODUCTS.items() for kind in product.DEFECTS]
TINY = {"size": 64, "train": 2, "good": 1, "per_defect": 2}


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file by its path in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three products, tiny."""
    folder = tmp_path_factory.mktemp("samples")
    targets = draw_samples(folder, **TINY)
    assert targets == [folder / name for name in ("weave", "plate", "cap")]
    return folder


def test_layout_is_that_of_mvtec_ad(drawn: Path) -> None:
    good = ["train/good/000.png", "train/good/001.png", "test/good/000.png"]
    for name, product in PRODUCTS.items():
        flawed = [f"test/{kind}/{n:03}.png" for kind in product.DEFECTS for n in (0, 1)]
        masks = [f"ground_truth/{kind}/{n:03}_mask.png" for kind in product.DEFECTS for n in (0, 1)]
        assert set(contents(drawn / name)) == {*good, *flawed, *masks}
    assert sorted(path.name for path in drawn.iterdir()) == ["cap", "plate", "weave"]


def test_sizes_and_modes(drawn: Path) -> None:
    for path in drawn.rglob("*.png"):
        product, part = path.relative_to(drawn).parts[:2]
        with Image.open(path) as image:
            assert image.size == (64, 64)
            assert image.mode == ("L" if part == "ground_truth" else PRODUCTS[product].MODE)
    assert {name: PRODUCTS[name].MODE for name in PRODUCTS} == {
        "weave": "RGB",
        "plate": "L",
        "cap": "RGB",
    }


@pytest.mark.parametrize("size", [64, 100, 201])
def test_any_size_is_drawn(size: int) -> None:
    for name, product in PRODUCTS.items():
        clean, flawed, mask = draw_pair(Series(name, size, 0), product.DEFECTS[0], 0, 1.0)
        assert clean.shape[:2] == flawed.shape[:2] == mask.shape == (size, size)


@pytest.mark.parametrize(("product", "kind"), DEFECTS)
def test_mask_is_where_the_flaw_changed_the_picture(product: str, kind: str) -> None:
    for number, strength in enumerate((1.0, 0.5, 0.0)):
        clean, flawed, mask = draw_pair(Series(product, 256, 3), kind, number, strength)
        np.testing.assert_array_equal((clean != flawed).any(-1), mask)
        assert 20 <= mask.sum() < 0.2 * mask.size
        # seen on average, not only by the odd grey level that keeps the mask exact
        seen = np.abs(clean.astype(int) - flawed).max(-1)[mask].mean()
        assert seen > 15, (number, seen)


@pytest.mark.parametrize(("product", "kind"), DEFECTS)
def test_saved_files_are_the_pair(drawn: Path, product: str, kind: str) -> None:
    for number, strength in ((0, 1.0), (1, 0.0)):
        _, flawed, mask = draw_pair(Series(product, 64, 0), kind, number, strength)
        image = np.asarray(Image.open(drawn / product / "test" / kind / f"{number:03}.png"))
        np.testing.assert_array_equal(image.reshape(flawed.shape), flawed)
        truth = Image.open(drawn / product / "ground_truth" / kind / f"{number:03}_mask.png")
        np.testing.assert_array_equal(np.asarray(truth), np.where(mask, 255, 0))


def test_same_seed_same_bytes_other_seed_other_bytes(drawn: Path, tmp_path: Path) -> None:
    (again,) = draw_samples(tmp_path / "again", **TINY, products=("cap",))
    (other,) = draw_samples(tmp_path / "other", **TINY, seed=1, products=("cap",))
    expected, changed = contents(drawn / "cap"), contents(other)
    assert contents(again) == expected
    assert not any(expected[path] == changed[path] for path in expected)


def test_more_images_leave_the_first_ones_alone(drawn: Path, tmp_path: Path) -> None:
    (more,) = draw_samples(tmp_path, **{**TINY, "train": 3}, products=("plate",))
    longer = contents(more)
    assert longer.pop("train/good/002.png") not in longer.values()
    assert longer == contents(drawn / "plate")


@pytest.mark.parametrize("product", PRODUCTS)
def test_good_parts_vary(product: str) -> None:
    images = [
        draw_pair(Series(product, 128, 0), "train/good", n)[0].astype(float) for n in range(4)
    ]
    smooth = [ndimage.gaussian_filter(image.mean(-1), 1) for image in images]
    apart = [np.abs(a - b).mean() for i, a in enumerate(smooth) for b in smooth[:i]]
    assert min(apart) > 1  # more than camera noise, in grey levels


def test_filled_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cap").mkdir()
    (tmp_path / "cap" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="cap is not empty; choose another folder"):
        draw_samples(tmp_path, **TINY)
    assert contents(tmp_path) == {"cap/mine.txt": b"keep"}


def test_broken_off_drawing_never_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(PRODUCTS["plate"].FLAWS, "burr", fail)
        with pytest.raises(KeyboardInterrupt):
            draw_samples(tmp_path, **TINY, products=("plate",))
    assert not (tmp_path / "plate").exists()
    (target,) = draw_samples(tmp_path, **TINY, products=("plate",))
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]
    assert len(contents(target)) == 15


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"size": 32}, "size is 32; give 64 to 2048 pixels"),
        ({"train": 0}, "train is 0; give 1 to 999 images"),
        ({"products": ("weav",)}, "no sample product 'weav'; did you mean 'weave'"),
        ({"products": ("gear",)}, "known: weave, plate, cap"),
    ],
)
def test_bad_requests(tmp_path: Path, request_: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        draw_samples(tmp_path, **request_)  # type: ignore[arg-type]
    assert not contents(tmp_path)
