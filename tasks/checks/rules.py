"""What a product's images must satisfy: the section `validation` of its spec."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from tasks.errors import SpecError

MIN_TRAIN = 2  # no algorithm learns a spread from one image


@dataclass(frozen=True)
class ValidationRules:
    size: tuple[int, int] | None = None  # width, height in pixels of every image; null: any
    min_size: int = 16  # pixels, of the shorter side
    channels: int | None = None  # 1 (grey) or 3 (RGB) everywhere; null: any
    bits: int | None = None  # 8 or 16 everywhere; null: any, a mixture gives a warning
    min_train: int = MIN_TRAIN  # normal images to learn from
    min_test_good: int = 0  # below 1 the metrics that need them are null
    min_test_defective: int = 0
    near_duplicate_bits: int | None = 4  # of 64 that may differ in dhash; null: no search
    near_duplicate_difference: float = 1.0  # grey levels of 255, mean over a 32 x 32 thumbnail
    range_tolerance: float = 8.0  # median absolute deviations from the median of train
    extreme_ratio: float = 8.0  # a training image this many times off the median fails

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", size_of(self.size))
        choice("channels", self.channels, (None, 1, 3))
        choice("bits", self.bits, (None, 8, 16))
        whole("min_size", self.min_size, 1)
        whole("min_train", self.min_train, MIN_TRAIN)
        whole("min_test_good", self.min_test_good, 0)
        whole("min_test_defective", self.min_test_defective, 0)
        if self.near_duplicate_bits is not None:
            whole("near_duplicate_bits", self.near_duplicate_bits, 0, 64)
        above("near_duplicate_difference", self.near_duplicate_difference, 0)
        above("range_tolerance", self.range_tolerance, 0)
        above("extreme_ratio", self.extreme_ratio, 1)


def rules_of(values: Mapping[str, Any] | None) -> ValidationRules:
    """Rules from the section `validation` of a spec; SpecError names a wrong key or value."""
    known = [field.name for field in fields(ValidationRules)]
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise SpecError(f"validation is {values!r}; write a table of rules, or leave it out")
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise SpecError(f"validation has no rule {key!r}; {hint}")
    return ValidationRules(**values)


def size_of(value: Any) -> tuple[int, int]:
    """Width and height of a size written as [width, height]."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise SpecError(f"validation.size is {value!r}; write [width, height] in pixels, or null")
    for side in value:
        whole("size", side, 1)
    return value[0], value[1]


def choice(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if isinstance(value, bool) or value not in allowed:
        words = ", ".join("null" if item is None else str(item) for item in allowed)
        raise SpecError(f"validation.{name} is {value!r}; allowed are {words}")


def whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= low
    if not good or (high is not None and value > high):
        limits = f"{low} to {high}" if high is not None else f"{low} or more"
        raise SpecError(f"validation.{name} is {value!r}; write a whole number, {limits}")


def above(name: str, value: Any, low: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not low < value < float("inf"):
        raise SpecError(f"validation.{name} is {value!r}; write a number above {low}")
