"""Files that say label and mask: hand-made cases of each form, a round trip, and hostile ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.arrival.intake import IngestReport
from tasks.arrival.labels import read_labels
from tasks.images.polygons import filled, outlines
from tasks.images.read_image import read_mask
from tasks.images.run_lengths import brushed, counts_of, mask_of, packed, unpacked
from tasks.ingest import ingest
from tasks.products.annotations import write_annotations
from tasks.workspace.errors import DataError
from tasks.workspace.paths import Workspace

RNG = np.random.default_rng(4)
HEIGHT, WIDTH = 12, 16
BOX = np.zeros((HEIGHT, WIDTH), bool)
BOX[2:5, 3:9] = True
CORNERS = [3, 2, 9, 2, 9, 5, 3, 5]  # of BOX, as a polygon of COCO
MASK = "ground_truth/crack/a_mask.png"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        save(tmp_path / f"source/images/{name}.png", RNG.integers(0, 256, (HEIGHT, WIDTH, 3)))
    return tmp_path / "source"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def take(source: Path, content: Any, *said: str, name: str = "labels.json") -> IngestReport:
    file = source / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    images = source.parent / "images"
    labels = read_labels(said, Path(name))
    return ingest(source, images, source.parent / "scratch", labels=labels)


def mask(source: Path, name: str = MASK) -> np.ndarray:
    return read_mask(source.parent / "images" / name)


def coco(*annotations: dict[str, Any], **image: Any) -> dict[str, Any]:
    """a.png with these annotations of category crack or dent, and b.png with none."""
    return {
        "images": [
            {"id": 1, "file_name": "images/a.png", "width": WIDTH, "height": HEIGHT, **image},
            {"id": 2, "file_name": "images/b.png"},
        ],
        "categories": [{"id": 7, "name": "Crack"}, {"id": 8, "name": "dent"}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 7, **one} for n, one in enumerate(annotations)
        ],
    }


def studio(*results: dict[str, Any], image: str = "/data/upload/3/0a1b2c3d-a.png") -> list[Any]:
    whole = {"original_width": WIDTH, "original_height": HEIGHT, "id": "r"}
    return [
        {
            "id": 5,
            "data": {"image": image},
            "annotations": [{"result": [whole | r for r in results]}],
        }
    ]


def percent(left: float, top: float) -> tuple[float, float]:
    return 100 * left / WIDTH, 100 * top / HEIGHT


def bits_of(*numbers: tuple[int, int]) -> list[int]:
    """Bytes of numbers, each with its size in bits."""
    text = "".join(f"{number:0{size}b}" for number, size in numbers)
    return [int(text[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(text), 8)]


def brush(marks: np.ndarray) -> list[int]:
    """What Label Studio writes of a brush: runs of white or nothing, pixel by pixel."""
    rgba = np.repeat(marks.ravel(), 4) * 255
    numbers = [(rgba.size, 32), (7, 5), (1, 4), (2, 4), (9, 4), (15, 4)]
    for part in np.split(rgba, np.flatnonzero(np.diff(rgba)) + 1):
        numbers += [(1, 1), (3, 2), (len(part) - 1, 16), (int(part[0]), 8)]
    return bits_of(*numbers)


def test_runs_by_hand():
    marks = np.array([[1, 0, 0], [1, 1, 0]], bool)
    assert counts_of(marks) == [0, 2, 1, 1, 2]
    assert packed([0, 2, 1, 1, 2]) == "021O1" and unpacked("021O1") == [0, 2, 1, 1, 2]
    assert packed([100, 1000]) == "T3Xo0" and unpacked("T3Xo0") == [100, 1000]
    np.testing.assert_array_equal(mask_of([0, 2, 1, 1, 2], (2, 3)), marks)
    literal = bits_of((8, 32), (7, 5), *[(2, 4)] * 4, (0, 1), (0, 2), (7, 3), *[(0, 8)] * 7, (9, 8))
    np.testing.assert_array_equal(brushed(literal, (1, 2)), [[False, True]])


def test_runs_and_outlines_come_back_bit_for_bit():
    for _ in range(50):
        marks = RNG.random(RNG.integers(1, 30, 2)) > RNG.random()
        np.testing.assert_array_equal(
            mask_of(unpacked(packed(counts_of(marks))), marks.shape), marks
        )
        np.testing.assert_array_equal(brushed(brush(marks), marks.shape), marks)
        again = np.zeros_like(marks)
        for line in outlines(marks):
            again ^= filled(line, marks.shape)
        np.testing.assert_array_equal(again, marks)


def test_runs_agree_with_pycocotools():
    theirs = pytest.importorskip("pycocotools.mask")
    marks = RNG.random((40, 30)) > 0.5
    text = theirs.encode(np.asfortranarray(marks.astype(np.uint8)))["counts"].decode()
    assert packed(counts_of(marks)) == text


RUNS = {"size": [HEIGHT, WIDTH], "counts": counts_of(BOX)}
DRAWN: dict[str, Any] = {
    "polygon": coco({"segmentation": [CORNERS]}),
    "two polygons": coco({"segmentation": [[3, 2, 5, 2, 5, 5, 3, 5], [5, 2, 9, 2, 9, 5, 5, 5]]}),
    "runs": coco({"segmentation": RUNS}),
    "packed runs": coco({"segmentation": RUNS | {"counts": packed(counts_of(BOX))}}),
    "box": coco({"segmentation": [], "bbox": [3, 2, 6, 3]}),
    "path of another machine": coco({"segmentation": RUNS}, file_name="C:\\data\\A.PNG"),
    "brush": studio(
        {"type": "brushlabels", "value": {"rle": brush(BOX), "brushlabels": ["crack"]}}
    ),
    "polygon of Label Studio": studio(
        {
            "type": "polygonlabels",
            "value": {
                "points": [percent(x, y) for x, y in zip(CORNERS[::2], CORNERS[1::2], strict=True)],
                "polygonlabels": ["crack"],
            },
        },
        image="http://labels/data/local-files/?d=images%2Fa.png",
    ),
    "turned rectangle": studio(
        {
            "type": "rectanglelabels",
            "value": dict(
                zip(
                    ("x", "y", "width", "height", "rotation", "rectanglelabels"),
                    (*percent(9, 2), *percent(3, 6), 90, ["crack"]),
                    strict=True,
                )
            ),
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", DRAWN)
def test_each_form_draws_the_same_mask(source: Path, form: str):
    report = take(source, DRAWN[form])
    np.testing.assert_array_equal(mask(source), BOX)
    with Image.open(source.parent / "images" / MASK) as picture:
        assert picture.mode == "L" and set(np.unique(np.asarray(picture))) == {0, 255}
    assert "test/crack/a.png" in report.new
    refused = dict(report.refused)
    assert "labels.json does not name it" in refused["images/c.png"]
    assert not (source.parent / "images/train/good/c.png").exists()
    again = take(source, DRAWN[form])
    assert not again.changed and len(again.known) == len(report.new)


def test_a_table_says_labels_masks_and_splits(source: Path):
    save(source / "marks/a.png", BOX * 255)
    text = "\ufeffPath;Label;Mask;Split\nimages/a.png;Crack;marks/a.png;\nimages/b.png;OK;;test\n"
    report = take(source, text + "c.png;n.i.O.;;\nno.png;ok;;\n", name="labels.csv")
    assert report.new == ["test/crack/a.png", "test/good/b.png", "test/n.i.o./c.png"]
    np.testing.assert_array_equal(mask(source), BOX)
    assert report.refused == [("no.png", "labels.csv, row 5: no such image in the source")]


def test_names_that_differ_in_letter_case_are_two_files(source: Path):
    save(source / "images/A.png", RNG.integers(0, 256, (HEIGHT, WIDTH)))
    assert "test/crack/A.png" in take(source, coco(file_name="images/A.png", label="crack")).new
    refused = take(source, coco(file_name="elsewhere/A.PNG", label="crack")).refused
    assert "2 files have that name" in dict(refused)["elsewhere/A.PNG"]


def test_labels_of_several_marks_of_folders_and_of_choices(source: Path):
    both = coco({"segmentation": RUNS}, {"category_id": 8, "bbox": [0, 0, 2, 2]})
    assert take(source, both, "good=images").new == [
        "test/combined/a.png",
        "train/good/b.png",
        "train/good/c.png",
    ]
    chosen = studio({"type": "choices", "value": {"choices": ["OK"]}}, image="s3://bucket/d.png")
    save(source / "day 1/d.png", np.ones((4, 4)))
    assert take(source, chosen).new == ["train/good/d.png"]
    chosen[0]["annotations"] = []
    assert "task 5: not labelled yet" in dict(take(source, chosen).refused)["day 1/d.png"]


def test_a_round_trip_keeps_masks_labels_and_splits(source: Path, tmp_path: Path):
    holes = RNG.random((HEIGHT, WIDTH)) > 0.6
    for name, marks in (("crack/1", holes), ("crack/2", BOX), ("dent/3", None), ("good/4", None)):
        save(tmp_path / f"w/data/p/images/test/{name}.png", RNG.integers(0, 256, (HEIGHT, WIDTH)))
        if marks is not None:
            save(tmp_path / f"w/data/p/images/ground_truth/{name}_mask.png", marks * 255)
    save(tmp_path / "w/data/p/images/train/good/5.png", RNG.integers(0, 256, (HEIGHT, WIDTH)))
    images = tmp_path / "w/data/p/images"
    for polygons in (False, True):
        file = tmp_path / f"{polygons}.json"
        told = write_annotations(Workspace(tmp_path / "w"), "p", file, polygons)
        assert "5 images" in told[0] and "1 defective images have no mask" in told[1]
        content = json.loads(file.read_text())
        box = next(one for one in content["annotations"] if one["image_id"] == 2)
        assert (box["area"], box["bbox"]) == (18, [3, 2, 6, 3])
        assert isinstance(box["segmentation"], list) == polygons
        again = tmp_path / f"again {polygons}"
        ingest(images, again, tmp_path / "scratch", labels=read_labels((), file))
        names = {path.relative_to(images) for path in images.rglob("*.png")}
        assert names == {path.relative_to(again) for path in again.rglob("*.png")}
        for name in names:
            if "_mask" in name.name:
                np.testing.assert_array_equal(read_mask(again / name), read_mask(images / name))


BAD_MARKS: dict[str, tuple[dict[str, Any], str]] = {
    "size": ({"segmentation": RUNS | {"size": [10**9, 10**9]}}, "drawn on 1000000000 x"),
    "short": ({"segmentation": RUNS | {"counts": [5]}}, "do not fill 16 x 12"),
    "negative": ({"segmentation": RUNS | {"counts": [-5, 197]}}, "do not fill"),
    "cut": ({"segmentation": RUNS | {"counts": "Z"}}, "end in the middle"),
    "endless": ({"segmentation": RUNS | {"counts": "o" * 99}}, "which no length has"),
    "odd": ({"segmentation": [[1, 2, 3]]}, "no list of pairs"),
    "words": ({"segmentation": "outline"}, "no list of pairs"),
    "line": ({"segmentation": [[1, 2, 3, 4]]}, "three points"),
    "not finite": ({"segmentation": [[1, 2, 3, 4, float("nan"), 1]]}, "all of them numbers"),
    "far away": ({"segmentation": [[1e300, 1e300, 2e300, 1e300, 1e300, 2e300]]}, "is empty"),
    "box": ({"bbox": [1, None]}, "bbox is not four numbers"),
}


@pytest.mark.parametrize("case", BAD_MARKS)
def test_a_mark_that_cannot_be_drawn_is_named_and_the_image_comes_in(source: Path, case: str):
    annotation, says = BAD_MARKS[case]
    report = take(source, coco(annotation))
    assert "test/crack/a.png" in report.new and report.masks == []
    reason = dict(report.refused)["images/a.png (mask)"]
    assert says in reason and ("labels.json, annotation 0" in reason or case == "far away")


def test_millions_of_points_and_marks_end(source: Path):
    points = RNG.random(1_000_000) * 1e3
    with pytest.raises(ValueError, match="simplify it"):
        filled(points.reshape(-1, 2), (900, 900))
    assert filled(points.reshape(-1, 2) / 1e4, (900, 900)).sum() <= 1
    report = take(source, coco(*[{"bbox": [0, 0, 1, 1]}] * 10_001))
    assert "10,001 marks; join them" in dict(report.refused)["images/a.png (mask)"]


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({"file_name": "../../etc/secret.png"}, "points outside the source"),
        ({"file_name": ""}, "no such image"),
        ({"file_name": "x\0.png"}, "no such image"),
        ({"label": "../../up"}, "cannot be the name of a label"),
        ({"label": "mask"}, "cannot be the name of a label"),
        ({"split": "../up"}, "no split '../up'"),
    ],
)
def test_an_entry_that_leads_elsewhere_is_refused(source: Path, image: dict[str, str], says: str):
    save(source.parent.parent / "etc/secret.png", np.ones((4, 4)))
    report = take(source, coco({"segmentation": RUNS}, **image))
    assert report.new == ["train/good/b.png"]
    assert any(says in reason and "labels.json, image 1" in reason for _, reason in report.refused)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("labels.json", "{", "no whole JSON"),
        ("labels.json", "[" * 100_000, "no whole JSON"),
        ("labels.json", "{}", "neither COCO nor Label Studio"),
        ("labels.json", '[{"image": "a.png"}]', "not as JSON-MIN"),
        ("labels.json", '{"images": [1]}', "images is no list of objects"),
        ("labels.json", coco({"image_id": 9}), "annotations of image 9"),
        ("labels.csv", "a,b\n1,2\n", "needs a head line"),
        ("labels.csv", "", "needs a head line"),
    ],
)
def test_a_file_that_is_none_is_named_and_nothing_is_taken(
    source: Path, name: str, content: Any, says: str
):
    with pytest.raises(DataError, match=says):
        take(source, content, name=name)
    assert not (source.parent / "images").exists()
    with pytest.raises(DataError, match=r"missing\.json: no such file"):
        ingest(
            source,
            source.parent / "i",
            source.parent / "s",
            labels=read_labels((), Path("missing.json")),
        )
