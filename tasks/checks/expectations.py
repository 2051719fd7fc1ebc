"""The rules of a product as a Great Expectations suite over its manifest.

Import it only where it is used: great_expectations takes seconds to load.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.row_conditions import Column

from tasks.checks.appearance import Bounds
from tasks.images.marks import LARGE
from tasks.spec.schema import Validation

READABLE = Column("error").is_null()
TRAIN = (Column("split") == "train") & READABLE
TEST_GOOD = (Column("split") == "test") & (Column("label") == "good") & READABLE
TEST_DEFECTIVE = (Column("split") == "test") & (Column("label") != "good") & READABLE
HINT = FailureSeverity.WARNING
SIZE = "{width:.0f} x {height:.0f}"
UNITS = {"brightness": "of 1", "sharpness": "(variance of the Laplacian)"}


@dataclass(frozen=True)
class Check:
    """An expectation, and the reason if a row fails: a template with the row's keys or {found}."""

    name: str
    expectation: Expectation
    reason: str


def build_checks(rules: Validation, bounds: dict[str, Bounds]) -> list[Check]:
    """All checks of the rules, in the order in which failures are listed."""
    readable = Check("readable", gxe.ExpectColumnValuesToBeNull(column="error"), "{error}")
    checks = [
        readable,
        *count_checks(rules),
        *size_checks(rules),
        *format_checks(rules),
        *mask_checks(),
        *duplicate_checks(),
    ]
    checks += [
        check for name, limits in bounds.items() for check in appearance_checks(name, limits)
    ]
    return checks


def count_checks(rules: Validation) -> Iterator[Check]:
    """Enough images to train and, if required, to test."""
    for name, condition, least, where in (
        ("min_train", TRAIN, rules.min_train, "train/good"),
        ("min_test_good", TEST_GOOD, rules.min_test_good, "test/good"),
        ("min_test_defective", TEST_DEFECTIVE, rules.min_test_defective, "test/<defect>"),
    ):
        if least:
            yield Check(
                name,
                gxe.ExpectTableRowCountToBeBetween(min_value=least, row_condition=condition),
                f"readable images in {where}: {{found}}, at least {least} are needed; "
                f"ingest more images into {where}, then run again",
            )


def size_checks(rules: Validation) -> Iterator[Check]:
    for place, side in enumerate(("width", "height")):
        yield Check(
            "min_size",
            gxe.ExpectColumnValuesToBeBetween(column=side, min_value=rules.min_size),
            f"{SIZE} pixels, every side needs {rules.min_size}; use a larger image",
        )
        if rules.size:
            yield Check(
                "size",
                gxe.ExpectColumnValuesToBeInSet(column=side, value_set=[rules.size[place]]),
                f"{SIZE} pixels, expected {rules.size[0]} x {rules.size[1]}; "
                "crop or scale it, or set validation.size to null",
            )


def format_checks(rules: Validation) -> Iterator[Check]:
    """Channels and bits: as the rules say; without a rule they should be the same everywhere."""
    for column, wanted, (low, high) in (
        ("channels", rules.channels, (1, 3)),
        ("bits", rules.bits, (8, 16)),
    ):
        yield Check(
            column,
            gxe.ExpectColumnValuesToBeInSet(
                column=column, value_set=[wanted] if wanted else [low, high]
            ),
            f"{{{column}:.0f}} {column}, expected {wanted}; "
            f"convert it, or set validation.{column} to null",
        )
        if not wanted:
            yield Check(
                column,
                gxe.ExpectColumnUniqueValueCountToBeBetween(
                    column=column, max_value=1, severity=HINT
                ),
                f"images of {low} and of {high} {column} are mixed; "
                f"set validation.{column} to the right one to see which differ",
            )


def mask_checks() -> Iterator[Check]:
    for side in ("width", "height"):
        yield Check(
            "mask_size",
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A=f"mask_{side}", column_B=side, ignore_row_if="either_value_is_missing"
            ),
            "mask {mask} has {mask_width:.0f} x {mask_height:.0f} pixels, its image "
            f"{SIZE}; draw the mask on the whole image, as a viewer shows it",
        )
    yield Check(
        "mask_empty",
        gxe.ExpectColumnValuesToBeBetween(column="mask_share", min_value=0, strict_min=True),
        "mask {mask} is empty; mark the defect, or delete the mask",
    )
    yield Check(
        "mask_large",
        gxe.ExpectColumnValuesToBeBetween(column="mask_share", max_value=LARGE, severity=HINT),
        "mask {mask} marks {mask_share:.0%} of its image; is it inverted?",
    )


def duplicate_checks() -> Iterator[Check]:
    """A test image that is also a training image or has two labels fails; other repeats are
    warnings."""
    for name, severity, reason in (
        ("leak", FailureSeverity.CRITICAL, "same content as {leak}; delete one of the two"),
        ("duplicate", HINT, "same content as {duplicate}"),
        ("near_duplicate", HINT, "shows nearly the same picture as {near_duplicate}"),
    ):
        yield Check(name, gxe.ExpectColumnValuesToBeNull(column=name, severity=severity), reason)


def appearance_checks(name: str, limits: Bounds) -> Iterator[Check]:
    """Training images that differ much from the others fail; other unusual images give a
    warning."""
    value = f"{name} {{{name}:.4g}} {UNITS[name]}"
    usual = f"{limits.low:.4g} to {limits.high:.4g}"
    yield Check(
        name,
        gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=limits.worst_low,
            max_value=limits.worst_high,
            row_condition=TRAIN,
        ),
        f"{value}, far from the usual {usual} of this product (black, blank, blurred?); "
        "remove it from train/good",
    )
    yield Check(
        name,
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=limits.low, max_value=limits.high, severity=HINT
        ),
        f"{value}, unusual for this product: {usual}",
    )
