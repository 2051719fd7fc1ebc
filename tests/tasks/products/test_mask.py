"""The mask of a defect image is set at its size, recorded, and never half or in the wrong place."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tasks.images.layout import image_files, pair_masks
from tasks.images.read_image import read_mask
from tasks.products.changing import version_of
from tasks.products.correct import correct_label
from tasks.products.draw_mask import set_mask
from tasks.store.opening import store_of
from tasks.workspace.errors import ChangedError, DataError
from tasks.workspace.paths import Workspace

WHO = {"by": "anna", "reason": "the rim was missing"}
CRACK, GOOD = "test/crack/1.png", "test/good/1.png"
PLACE = "ground_truth/crack/1_mask.png"
HEIGHT, WIDTH = 30, 40


def saved(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def drawn(height=HEIGHT, width=WIDTH, value=255, mode="L"):
    pixels = np.zeros((height, width), np.uint8)
    pixels[5:9, 10:20] = value
    memory = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(memory, "PNG")
    return memory.getvalue()


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "params.yaml").write_text("defaults: {}\n")
    made = Workspace(tmp_path)
    for name in (CRACK, GOOD):
        saved(made.images("cap") / name, np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    (made.product("cap") / "product.yaml").write_text("{}\n")
    return made


def masks(workspace):
    images = workspace.images("cap")
    return {str(k): str(v) for k, v in pair_masks(list(image_files(images)))[0].items()}


@pytest.mark.parametrize("mode", ["L", "RGBA", "1"])
def test_a_mask_is_written_in_its_place_as_0_and_255(workspace, mode):
    told = set_mask(workspace, "cap", CRACK, drawn(mode=mode), **WHO, seen="")
    file = workspace.images("cap") / PLACE
    pixels = np.asarray(Image.open(file))
    assert masks(workspace) == {CRACK: PLACE} and set(np.unique(pixels)) == {0, 255}
    assert pixels.shape == (HEIGHT, WIDTH) and read_mask(file).sum() == 40
    record = json.loads(store_of(workspace).get(told["record"]))
    assert record["kind"] == "mask" and record["by"] == "anna" and record["old"] == ""
    assert record["what"] == f"{CRACK}: mask of 3.33% of the image"
    assert record["after"] == version_of(file) and record["file"].endswith(PLACE)


@pytest.mark.parametrize(
    ("name", "options", "kept"),
    [
        ("1.png", {}, "ground_truth/crack/1.png"),
        ("1_mask.bmp", {}, PLACE),
    ],
)
def test_a_present_mask_is_replaced_wherever_it_lies(workspace, name, options, kept):
    old = workspace.images("cap") / "ground_truth" / "crack" / name
    saved(old, np.eye(HEIGHT, WIDTH, dtype=np.uint8) * 255, **options)
    with pytest.raises(ChangedError, match="open it again"):
        set_mask(workspace, "cap", CRACK, drawn(), **WHO, seen="")
    set_mask(workspace, "cap", CRACK, drawn(), **WHO, seen=version_of(old))
    assert masks(workspace) == {CRACK: kept}
    assert [str(p) for p in image_files(workspace.images("cap") / "ground_truth")] == [
        kept.removeprefix("ground_truth/")
    ]


@pytest.mark.parametrize(
    ("image", "data", "words"),
    [
        (CRACK, drawn(height=12), "40 x 12 pixels, but its image has 40 x 30"),
        (CRACK, drawn(value=0), "the mask is empty"),
        (CRACK, b"no image", "not an image"),
        (CRACK, drawn()[:40], "damaged or truncated"),
        (GOOD, drawn(), "among good images, which have no masks; move the file"),
        ("test/crack/9.png", drawn(), "no image"),
        ("../product.yaml", drawn(), "no image"),
    ],
)
def test_what_cannot_be_its_mask_is_refused_and_nothing_changes(workspace, image, data, words):
    with pytest.raises(DataError, match=words):
        set_mask(workspace, "cap", image, data, **WHO)
    assert masks(workspace) == {} and list(store_of(workspace).keys("records/")) == []


def test_a_mask_that_would_be_another_image_s_is_refused(workspace):
    saved(workspace.images("cap") / "test/crack/1.bmp", np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError, match="rename one of the two"):
        set_mask(workspace, "cap", CRACK, drawn(), **WHO)
    correct_label(workspace, "cap", CRACK, "good", **WHO)
    with pytest.raises(DataError, match="correct that first"):
        set_mask(workspace, "cap", CRACK, drawn(), **WHO)
