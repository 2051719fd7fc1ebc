"""What the name of a folder says about its images: good, a defect, masks, or nothing.

Letter case counts for nothing, nor do `_`, `-`, spaces and digits beside words. A name of which one
word is not known says nothing certain: then a person is asked, and nothing is guessed.
"""

import itertools
import re
import unicodedata
from enum import Enum
from functools import lru_cache
from pathlib import PurePosixPath


class Says(Enum):
    GOOD = "good"
    DEFECT = "defect"
    MASKS = "masks"
    NOTHING = "nothing"  # a date, a camera: it groups images and is no label
    UNKNOWN = "unknown"  # may be a label


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GOOD = _words(
    "good goods ok okay oks normal normals nominal pass passed passes accept accepted "
    "acceptable conform conforming healthy intact flawless defectless faultless perfect io "
    "gut bon bons bueno buenos buono buoni goed dobre dobry 良品 合格 正常 良 정상 양품 годен "
    "норма"
)
# Words that say that there is a defect, but not which
ANY_DEFECT = _words(
    "bad bads defect defects defective defectives ng nok ko kos nio anomaly anomalies "
    "anomalous abnormal abnormals abnormality reject rejects rejected scrap fail fails failed "
    "failure faulty fault faults nonconforming outlier outliers novelty ungood nogood notgood "
    "notok schlecht fehler defekt ausschuss mauvais malo malos 不良 不良品 不合格 异常 異常 "
    "불량 брак дефект"
)
NAMED_DEFECT = _words(
    "scratch scratches scratched crack cracks cracked dent dents dented hole holes stain "
    "stains stained broken break breaks breakage bent bend bends cut cuts contamination "
    "contaminated dirt dirty dust rust rusty corrosion damage damaged damages missing "
    "misplaced misaligned burr burrs chip chips chipped tear tears torn blister blisters "
    "bubble bubbles pit pits pitting void voids porosity spot spots smudge discoloration "
    "deformed deformation leak leaks wrinkle wrinkles fold fray frayed blowhole uneven "
    "squeeze squeezed poke faded kratzer riss risse delle loch"
)
DEFECTS = ANY_DEFECT | NAMED_DEFECT
LABELS = {Says.GOOD: GOOD, Says.DEFECT: DEFECTS}
# "not good", "defect free": turn what the words behind them say, and `free` the one before it.
# But `NG_No_3` is the third of them
NOT = _words("no not non un without free zero nicht kein keine ohne sans sin")
FREE = "free"
MASKS = _words(
    "mask masks groundtruth gt gts label labels annotation annotations annotated segmentation "
    "segmentations segmentationclass segmentationobject seg segs maske masken 掩码 掩膜 掩模 마스크"
)
# Words of folders that only group images
GROUPS = _words(
    "image images img imgs jpegimages picture pictures photo photos foto fotos bild bilder "
    "frame frames capture captures data dataset raw cam cams camera cameras kamera station "
    "line linie shift schicht batch batches lot lots charge day days week weeks kw month date "
    "am pm early late night morning evening top bottom left right front back side view light "
    "position serial upload uploads export exports png jpg jpeg bmp tif tiff rgb monday "
    "tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun montag "
    "dienstag mittwoch donnerstag freitag samstag sonntag january february march april may "
    "june july august september october november december jan feb mar apr jun jul aug sep oct "
    "nov dec "
    "sn id unit units piece pieces order job tray session sample samples"
)
SPLITS = {
    **dict.fromkeys(("train", "training", "trainset", "训练", "训练集"), "train"),
    **dict.fromkeys(("test", "testing", "testset", "测试", "测试集"), "test"),
    **dict.fromkeys(("calibration", "calib", "validation", "valid", "val"), "calibration"),
}
SHORT_NUMBER = 3  # digits: `0` and `1` are often labels, `2024` is not


def plain(name: str) -> str:
    """A name in one form of Unicode and in small letters."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def words(name: str) -> list[str]:
    """The words and numbers of a name, in small letters: `GroundTruth_02` -> ground truth 02."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", name))
    return re.findall(r"[^\W\d_]+|\d+", parted.casefold())


@lru_cache(4096)
def joined(name: str) -> str:
    """The letters of a name: `Ground-Truth` -> groundtruth, `n.i.O.` -> nio."""
    return "".join(word for word in words(name) if not word.isdigit())


@lru_cache(4096)
def says(name: str) -> Says:
    """What the name of a folder says about the images in it."""
    parts = [word for word in words(name) if word not in SPLITS]
    known = set(parts)
    letters = {word for word in known if not word.isdigit()}
    if joined(name) in MASKS or letters & MASKS or {"ground", "truth"} <= letters:
        return Says.MASKS if not letters & NOT else Says.UNKNOWN
    parted = any(a in NOT and b.isdigit() for a, b in itertools.pairwise(parts))  # `No 3 good`
    whole = [kind for kind, known in LABELS.items() if joined(name) in known and not parted]
    if kinds := whole or [kind for kind, known in LABELS.items() if letters & known]:
        return judged(parts, kinds) if not whole else whole[0]
    digits = "".join(known - letters)
    named = {word for word in letters if len(word) > 1}  # a letter says no more than a number
    groups = named and named <= GROUPS if letters else len(digits) > SHORT_NUMBER
    return Says.NOTHING if groups else Says.UNKNOWN


def judged(parts: list[str], kinds: list[Says]) -> Says:
    """What words and numbers say together, in their order, of which some are good ones or defects.
    `good` is certain only where every other word is known."""
    turns = [turned_by(parts, at, kinds) for at, word in enumerate(parts) if word in NOT]
    turned = any(turns)
    letters = {word for word in parts if not word.isdigit()}
    all_known = letters <= GOOD | DEFECTS | NOT | GROUPS
    odd = None in turns or turns.count(True) > 1
    if odd or len(kinds) > 1 or (not all_known and (turned or kinds == [Says.GOOD])):
        return Says.UNKNOWN
    other = Says.DEFECT if kinds == [Says.GOOD] else Says.GOOD
    return other if turned else kinds[0]


def turned_by(parts: list[str], at: int, kinds: list[Says]) -> bool | None:
    """Whether the word `not`, or one like it, turns what the label among the words says; None if
    that is not certain."""
    places = [n for n, word in enumerate(parts) if word in GOOD | DEFECTS]
    first, last = places[0], places[-1]
    numbered = parts[at + 1 : at + 2] and parts[at + 1].isdigit()
    if parts[at] == FREE:
        return True if at == last + 1 and kinds == [Says.DEFECT] and not numbered else None
    if at > last:
        return False if numbered else None
    return True if at < first and not numbered else None


def names_any_defect(name: str) -> bool:
    """Whether a name says that there is a defect, but not which."""
    letters = {word for word in words(name) if not word.isdigit()}
    return says(name) is Says.DEFECT and not letters & NAMED_DEFECT


@lru_cache(4096)
def split_of(name: str) -> str | None:
    """The part of a product that a folder holds by its name: train, test or calibration."""
    return SPLITS.get(joined(name)) if not any(word.isdigit() for word in words(name)) else None


def split_by_words(folder: PurePosixPath, label: str) -> str:
    """Where an image goes whose folder has no split: `normal_test` -> test."""
    named = {SPLITS[word] for part in folder.parts for word in words(part) if word in SPLITS}
    if label != "good":
        return "calibration" if named == {"calibration"} else "test"
    return named.pop() if len(named) == 1 else "train"


def is_mask_folder(name: str) -> bool:
    return says(name) is Says.MASKS
