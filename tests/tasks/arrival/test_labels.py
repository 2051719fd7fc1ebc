"""What folders mean: usual layouts, drawn trees, questions and their answers. Paths are enough."""

import random
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from tasks.arrival.labels import Labels, read_labels
from tasks.arrival.offer import Arrival, Offer
from tasks.arrival.sorting import sort_paths
from tasks.arrival.words import Says, says, split_of
from tasks.workspace.errors import DataError


def offer_of(*names: str, labels: tuple[str, ...] = (), source: str = "drop") -> Offer:
    return sort_paths(sorted(map(PurePosixPath, names)), source, read_labels(labels))


def places(offer: Offer) -> dict[str, str]:
    """path -> split/label of each image."""
    return {str(one.path): one.place.parent.as_posix() for one in offer.arrivals}


def masks(offer: Offer) -> dict[str, str]:
    return {str(one.path): str(one.mask) for one in offer.arrivals if one.mask}


LAYOUTS = {
    "MVTec AD in capitals": (
        ["Train/Good/0.png", "Test/GOOD/1.png", "Test/Scratch/2.png"],
        ["Ground_Truth/Scratch/2_mask.png"],
        {"Train/Good/0.png": "train/good", "Test/GOOD/1.png": "test/good"}
        | {"Test/Scratch/2.png": "test/scratch"},
    ),
    "BTAD": (
        ["01/train/ok/0.bmp", "01/test/ok/1.bmp", "01/test/ko/2.bmp"],
        ["01/ground_truth/ko/2.png"],
        {"01/train/ok/0.bmp": "train/good", "01/test/ok/1.bmp": "test/good"}
        | {"01/test/ko/2.bmp": "test/ko"},
    ),
    "MVTec LOCO": (
        ["train/good/0.png", "validation/good/1.png", "test/logical_anomalies/2.png"],
        [],
        {"train/good/0.png": "train/good", "validation/good/1.png": "calibration/good"}
        | {"test/logical_anomalies/2.png": "test/logical_anomalies"},
    ),
    "VisA": (
        ["capsules/Data/Images/Normal/0.JPG", "capsules/Data/Images/Anomaly/1.JPG"],
        ["capsules/Data/Masks/Anomaly/1.png"],
        {"capsules/Data/Images/Normal/0.JPG": "train/good"}
        | {"capsules/Data/Images/Anomaly/1.JPG": "test/anomaly"},
    ),
    "Folder of anomalib": (
        ["good/0.jpg", "normal_test/1.jpg", "abnormal/colour/2.jpg", "crack/3.jpg"],
        ["mask/colour/2.png", "mask/crack/3.jpg"],
        {"good/0.jpg": "train/good", "normal_test/1.jpg": "test/good"}
        | {"abnormal/colour/2.jpg": "test/colour", "crack/3.jpg": "test/crack"},
    ),
    "defects below a day": (
        ["2024-05/ok/0.png", "2024-05/NG_01/1.png"],
        [],
        {"2024-05/ok/0.png": "train/good", "2024-05/NG_01/1.png": "test/ng_01"},
    ),
    "masks beside images": (
        ["OK/0.png", "NG/1.png", "NG/2.png"],
        ["NG/1_mask.png", "NG/masks/2.png"],
        {"OK/0.png": "train/good", "NG/1.png": "test/ng", "NG/2.png": "test/ng"},
    ),
    "good images by day and camera": (
        ["0.png", "monday/1.png", "2024-05-01/cam 2/2.png"],
        [],
        dict.fromkeys(["0.png", "monday/1.png", "2024-05-01/cam 2/2.png"], "train/good"),
    ),
    "labels are the product": (
        ["label/train/good/0.png", "label/test/bad/1.png"],
        ["label/ground_truth/bad/1.png"],
        {"label/train/good/0.png": "train/good", "label/test/bad/1.png": "test/bad"},
    ),
    "only masks have a folder of the layout": (
        ["good/0.png", "scratch/1.png"],
        ["ground_truth/scratch/1_mask.png"],
        {"good/0.png": "train/good", "scratch/1.png": "test/scratch"},
    ),
    "in Chinese": (
        ["训练/合格/0.png", "测试/合格/1.png", "测试/不合格/2.png"],
        ["掩码/不合格/2.png"],
        {"训练/合格/0.png": "train/good", "测试/合格/1.png": "test/good"}
        | {"测试/不合格/2.png": "test/不合格"},
    ),
    "a folder that is called as the archive": (["drop/1.png"], [], {"drop/1.png": "train/good"}),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_usual_layouts_are_known(case: str):
    images, drawn, wanted = LAYOUTS[case]
    offer = offer_of(*images, *drawn)
    assert places(offer) == wanted
    assert sorted(masks(offer).values()) == sorted(drawn)
    assert offer.refused == offer.waiting == []


@pytest.mark.parametrize("case", LAYOUTS)
@pytest.mark.parametrize("pick", [str.upper, str.lower, str.title])
def test_letter_case_changes_nothing(case: str, pick: Callable[[str], str]):
    images, drawn, wanted = LAYOUTS[case]

    def turned(name: str) -> str:
        folders, _, file = name.rpartition("/")
        return f"{pick(folders)}/{file}" if folders else file

    again = {name: turned(name) for name in images + drawn}
    offer = offer_of(*again.values())
    assert places(offer) == {again[name]: place for name, place in wanted.items()}
    assert len(masks(offer)) == len(drawn)


def test_a_mask_belongs_to_the_nearest_image_of_its_name():
    days = ("monday", "tuesday")
    images = [f"{day}/NG/1.png" for day in days] + ["monday/OK/1.png", "wednesday/NG/2.png"]
    drawn = {f"{day}/masks/1.png": f"{day}/NG/1.png" for day in days}
    offer = offer_of(*images, *drawn, "masks/2.png")
    assert {mask: image for image, mask in masks(offer).items()} == drawn | {
        "masks/2.png": "wednesday/NG/2.png"
    }
    [(path, reason)] = offer_of(*images, "masks/1.png").refused
    assert str(path) == "masks/1.png" and "monday/NG/1.png and tuesday/NG/1.png" in reason
    spelled = offer_of("test/Crack/1.png", "test/crack/1.png", "ground_truth/crack/1.png")
    assert masks(spelled) == {} and len(spelled.refused) == 1


ANSWERED = {
    # images, masks, labels: the masks are never images, and each finds its own
    "masks below their own folder": (
        ["good/1.png", "type_c/1.png", "type_d/1.png"],
        ["masks/type_c/1.png", "masks/type_d/1.png"],
        ["crack=type_c", "hole=type_d"],
    ),
    "ends in a word": (["ok/1.png", "odd/2.png"], ["odd_gt/odd/2.png"], ["crack=odd"]),
    "a folder that was called mask": (
        ["good/1.png", "type_c/1.png", "type_d/1.png"],
        ["drawn/type_c/1.png", "drawn/type_d/1.png"],
        ["mask=drawn", "crack=type_c", "hole=type_d"],
    ),
    "the layout": (
        ["train/good/1.png", "test/7/1.png", "test/8/1.png"],
        ["ground_truth/7/1_mask.png", "ground_truth/8/1_mask.png"],
        ["crack=7", "hole=8"],
    ),
    "a product that is called as masks are": (
        ["label/train/good/1.png", "label/test/7/1.png"],
        ["label/ground_truth/7/1.png"],
        ["crack=7"],
    ),
    "classes in numbers": (["0/1.png", "1/2.png"], ["gt/1/2.png"], ["good=0", "crack=1"]),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_what_is_said_of_a_defect_says_it_of_its_masks(case: str):
    images, drawn, labels = ANSWERED[case]
    offer = offer_of(*images, *drawn, labels=tuple(labels))
    assert set(places(offer)) == set(images)
    assert set(masks(offer).values()) == set(drawn)
    assert all(
        PurePosixPath(mask).parent.name == PurePosixPath(image).parent.name
        for image, mask in masks(offer).items()
    )
    assert offer.refused == offer.waiting == []


def test_masks_of_what_was_called_good_are_no_images():
    offer = offer_of("ok/1.png", "type_c/2.png", "masks/type_c/2.png", labels=("good=type_c",))
    assert set(places(offer)) == {"ok/1.png", "type_c/2.png"}
    assert [str(path) for path, _ in offer.waiting] == ["masks/type_c/2.png"]


def test_skip_means_all_below_unless_a_path_says_otherwise():
    names = ("ok/1.png", "old/type_c/2.png", "type_c/3.png", "day 1/type_c/4.png")
    said = ("skip=old", "crack=type_c", "good=day 1")
    taken = places(offer_of(*names, labels=said))
    assert {name: place.split("/")[1] for name, place in taken.items()} == {
        "ok/1.png": "good",
        "type_c/3.png": "crack",
        "day 1/type_c/4.png": "crack",
    }
    assert "old/type_c/2.png" in places(offer_of(*names, labels=(*said, "crack=old/type_c")))


UNCERTAIN = {
    "loose images beside a defect": (["0.png", "NG/1.png"], {"."}),
    "an unknown name": (["0.png", "oddity/1.png"], {"oddity"}),
    "an unknown name alone": (["oddity/1.png"], {"oddity"}),
    "names that may be classes": (["0/1.png", "1/2.png"], {"0", "1"}),
    "positive and negative": (["pos_x/1.png", "negative/2.png"], {"pos_x", "negative"}),
    "a day with a defect in it": (["2024-05/0.png", "2024-05/NG_01/1.png"], {"2024-05"}),
    "both words": (["good/bad/1.png"], {"good/bad"}),
    "good in another language": (["train/dobr/1.png", "test/scratch/2.png"], {"train/dobr"}),
    "several products": (["nut/good/1.png", "cap/good/2.png"], {"nut/good", "cap/good"}),
    "a part beside the layout": (["0.png", "train/good/1.png"], {"."}),
    "a folder beside the layout": (["new/0.png", "train/good/1.png"], {"new"}),
    "a part without a label": (["train/0.png", "train/good/1.png"], {"train"}),
    "a part above the layout": (["0.png", "nut/train/good/1.png"], {"."}),
    "a number in a test": (["train/good/0.png", "test/2/1.png"], {"test/2"}),
}


@pytest.mark.parametrize("case", UNCERTAIN)
def test_what_may_be_a_label_is_asked_and_the_answer_is_followed(case: str):
    names, asked = UNCERTAIN[case]
    with pytest.raises(DataError, match="Nothing was taken") as caught:
        offer_of(*names)
    for folder in asked:
        assert f"{folder} (" in str(caught.value)
    every = [f"good={folder}" for folder in asked]
    taken = places(offer_of(*names, labels=tuple(every)))
    for name in names:
        folder = PurePosixPath(name).parent.as_posix()
        assert (taken[name].split("/")[1] == "good") == (
            folder in asked or "good" in folder or case == "an unknown name"
        ), name
    left = offer_of(*names, labels=tuple(f"skip={folder}" for folder in asked))
    assert not {PurePosixPath(name).parent.as_posix() for name in places(left)} & asked


SURE = {
    Says.GOOD: ["good", "OK", "Normal", "pass", "ok_2", "defect-free", "合格"],
    Says.DEFECT: ["NG", "ng_01", "defect", "Scratch", "not ok", "bent_wire", "不良", "KO"],
    Says.MASKS: ["mask", "Masks", "ground_truth", "GroundTruth", "labels", "gt"],
    Says.NOTHING: ["2024-05", "monday", "cam 1", "images", "batch_7", "line_A"],
    Says.UNKNOWN: ["oddity", "7", "A", "good_maybe", "type a", "neg", "pos", "pos 1"],
}


def test_the_words_are_sure():
    assert {name: says(name) for names in SURE.values() for name in names} == {
        name: kind for kind, names in SURE.items() for name in names
    }


def test_a_number_of_a_label_does_not_turn_it_and_a_word_in_an_odd_place_is_asked():
    forms = ("{}_No_1", "{} No. 3", "{} no1", "{}-no-002", "line 3 {} no 7")
    for kind, labels in ((Says.GOOD, ("ok", "Good")), (Says.DEFECT, ("NG", "defect", "Scratch"))):
        for label in labels:
            assert {says(form.format(label)) for form in forms} == {kind}, label
            odd = ("{} no", "{} zero", "{} - not", "no 3 {}", "No. 3 {}", "free {}", "no no {}")
            assert {says(form.format(label)) for form in odd} == {Says.UNKNOWN}, label
    assert says("good free") == says("ok_free") == Says.UNKNOWN
    assert says("crack_without_mask") == says("no labels") == Says.UNKNOWN
    for turned, kind in (("no crack", Says.GOOD), ("defect free", Says.GOOD), ("not ok", "defect")):
        assert says(turned) == Says(kind)


def tree(chance: random.Random) -> list[str]:
    """Paths of images in folders of any meaning, up to three deep, maybe with a split above."""
    kinds = chance.sample(list(SURE), chance.randint(1, 4))
    top = chance.choice(("", "", "line 3/"))
    paths = []
    for _ in range(chance.randint(1, 12)):
        folders = [chance.choice(SURE[chance.choice(kinds)]) for _ in range(chance.randint(0, 3))]
        if chance.random() < 0.3:
            folders.insert(0, chance.choice(("train", "test", "Test", "TRAIN", "calibration")))
        stem = chance.choice(("1", "2", "3", "1_mask", "task-1-annotation-2-by-3-tag-x-0"))
        suffix = chance.choice((".png", ".JPG", ".tif", ".gif"))
        paths.append(top + "/".join([*folders, f"{stem}{suffix}"]))
    return paths


DRAWN = 1000


@pytest.mark.parametrize("seed", range(5))
def test_of_any_tree_each_file_ends_in_one_place_and_never_a_defect_or_a_mask_in_good(seed: int):
    for number in range(DRAWN // 5):
        paths = drawn_paths(seed, number)
        try:
            offer = sort_paths(paths, "drop", Labels())
        except DataError as error:
            assert "several products" in str(error) or "--labels" in str(error)
            continue
        ends = [file for one in offer.arrivals for file in one.files]
        ends += [path for path, _ in offer.refused + offer.waiting]
        assert sorted(ends, key=str) == paths
        for one in offer.arrivals:
            check_certain(one)


def check_certain(one: Arrival) -> None:
    """What is called good is so by its name, or nothing in its path may be a label."""
    meanings = {says(part) for part in one.path.parts[:-1] if split_of(part) is None}
    split, label, name = one.place.parts
    assert Says.MASKS not in meanings and "_mask" not in one.path.stem, one
    if label == "good":
        assert Says.DEFECT not in meanings, one
        assert Says.GOOD in meanings or Says.UNKNOWN not in meanings, one
    else:
        assert split != "train" and Says.GOOD not in meanings, one
    assert name == one.path.name


@pytest.mark.parametrize("seed", range(5))
def test_every_question_can_be_answered(seed: int):
    """Where each folder is called by its path, nothing is asked, and each image has that label."""
    for number in range(DRAWN // 20):
        paths = drawn_paths(seed, number)
        chance = random.Random(number)
        folders = sorted({path.parent.as_posix().casefold() for path in paths})
        said = {folder: chance.choice(("good", "crack", "mask", "skip")) for folder in folders}
        labels = read_labels([f"{label}={folder}" for folder, label in said.items()])
        try:
            offer = sort_paths(paths, "drop", labels)
        except DataError as error:
            assert "several products" in str(error)
            continue
        for one in offer.arrivals:
            assert one.place.parts[1] == said[one.path.parent.as_posix().casefold()]


def drawn_paths(seed: int, number: int) -> list[PurePosixPath]:
    return sorted(map(PurePosixPath, set(tree(random.Random(f"{seed} {number}")))), key=str)


@pytest.mark.parametrize(
    "text",
    [
        "good",
        "=a",
        "good=",
        "a/b=c",
        "train=x",
        "..=x",
        "drop=a",
        "gt=a",
        "a\x1b=x",
        f"{'a' * 300}=x",
    ],
)
def test_answers_that_say_nothing_are_named(text: str):
    with pytest.raises(DataError, match="--labels LABEL=FOLDER"):
        read_labels([text])
    with pytest.raises(DataError, match="is called good and crack"):
        read_labels(["good=a", "crack=A"])
