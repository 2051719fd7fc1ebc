import pytest

from tasks.spec.corrections import apply_corrections, read_corrections
from tasks.workspace.errors import SpecError

ROWS = [
    {"path": path, "split": path.split("/")[0], "label": path.split("/")[1], "mask": mask}
    | {"mask_width": width, "mask_height": width, "mask_share": width, "mask_regions": width}
    for path, mask, width in [
        ("test/crack/1.png", "ground_truth/crack/1_mask.png", 1),
        ("test/good/1.png", "", None),
        ("test/scratch/1.png", "ground_truth/scratch/1_mask.png", 1),
        ("train/good/1.png", "", None),
        ("train/good/2.png", "", None),
    ]
]


def read(tmp_path, text):
    (tmp_path / "corrections.yaml").write_text(text)
    return read_corrections(tmp_path / "corrections.yaml")


def apply(tmp_path, *entries, rows=ROWS):
    lines = [f"{path}: {{label: {label}, by: anna, why: seen}}" for path, label in entries]
    return {row["path"]: row for row in apply_corrections(rows, read(tmp_path, "\n".join(lines)))}


def test_no_file_and_an_empty_one_correct_nothing(tmp_path):
    assert read_corrections(tmp_path / "corrections.yaml") == []
    assert read(tmp_path, "# none yet\n") == []
    assert apply_corrections(ROWS, []) == ROWS


def test_a_label_is_a_name_that_can_be_printed(tmp_path):
    with pytest.raises(SpecError, match="cannot be printed"):
        read(tmp_path, 'test/good/1.png: {label: "a\\nb", by: anna, why: seen}')


def test_a_good_image_becomes_a_defect(tmp_path):
    after = apply(tmp_path, ("test/good/1.png", "scratch"))
    assert after["test/good/1.png"] == ROWS[1] | {"label": "scratch"}
    assert next(iter(after.values())) == ROWS[0]


def test_a_defect_becomes_good_and_loses_its_mask(tmp_path):
    after = apply(tmp_path, ("test/crack/1.png", "good"))["test/crack/1.png"]
    assert (after["label"], after["split"], after["mask"]) == ("good", "test", "")
    assert after["mask_width"] is after["mask_share"] is None
    assert ROWS[0]["mask"]  # what was given is not changed


def test_another_type_keeps_the_mask(tmp_path):
    after = apply(tmp_path, ("test/crack/1.png", "scratch"))["test/crack/1.png"]
    assert after == ROWS[0] | {"label": "scratch"}


def test_a_defect_among_the_training_images_is_not_trained_on(tmp_path):
    after = apply(tmp_path, ("train/good/2.png", "crack"))["train/good/2.png"]
    assert (after["split"], after["label"]) == ("test", "crack")


def test_drop_and_order(tmp_path):
    after = apply(tmp_path, ("train/good/1.png", "drop"), ("test/good/1.png", "good"))
    assert list(after) == [row["path"] for row in ROWS if row["path"] != "train/good/1.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "no valid YAML"),
        ("- a", "must hold the paths of images"),
        ("a.png: scratch", r"corrections\.yaml, line 1: a\.png is 'scratch'; write \{label"),
        ("\na.png: {label: good, by: b}", r"line 2: a\.png: why is missing, .*; write \{label"),
        ("a.png: {label: good, by: b, why: ' '}", r"why must be a folder's name, not blank|why"),
        (
            "a.png: {label: no, by: b, why: c}",
            "label must be text, if need be in quotes, got False",
        ),
        ("a.png: {label: a/b, by: b, why: c}", r"without / or \\, got 'a/b'"),
        ("a.png: {label: .., by: b, why: c}", r"without / or \\, got '\.\.'"),
        ("a.png: {label: 'a ', by: b, why: c}", r"got 'a '"),
        ("a.png: {label: a, by: b, why: c, who: d}", "who is no key"),
        ("a.png: {label: a, by: b, why: c, 1: d}", "no word"),
        ("a.png: {label: a, label: b, by: b, why: c}", r"a\.png has a key twice"),
        ("a.png: {}\na.png: {}", r"line 2: a\.png stands there twice"),
        ("12: {label: a, by: b, why: c}", "line 1: 12 is no path"),
    ],
)
def test_mistakes_name_the_line_and_the_remedy(tmp_path, text, message):
    with pytest.raises(SpecError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("test/good/l.png", "crack"), r"line 1: no image test/good/l\.png; did you mean test/goo"),
        (("zzzz", "crack"), "no image zzzz; give it relative to images/"),
        (("test/good/1.png", "scrach"), r"no defect type 'scrach'; did you mean 'scratch'\?"),
        (("test/good/1.png", "goood"), r"did you mean 'good'\?"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, entry, message):
    with pytest.raises(SpecError, match=message):
        apply(tmp_path, entry)


def test_a_new_type_may_be_said_to_be_new(tmp_path):
    text = "test/good/1.png: {label: scratch2, by: anna, why: deep, new: true}"
    after = apply_corrections(ROWS, read(tmp_path, text))
    assert after[1]["label"] == "scratch2"
    assert apply(tmp_path, ("test/good/1.png", "void"))["test/good/1.png"]["label"] == "void"


def test_drop_is_ambiguous_where_it_is_a_type(tmp_path):
    rows = [*ROWS, ROWS[0] | {"path": "test/drop/1.png", "label": "drop"}]
    with pytest.raises(SpecError, match="rename the folder"):
        apply(tmp_path, ("test/good/1.png", "drop"), rows=rows)
