"""Displayed scores: 100 is the threshold. They are for people; no decision uses them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tasks.workspace.errors import DataError

TOP = 9999  # larger absolute values are shown as this


@dataclass(frozen=True)
class Display:
    """A linear scale: raw `threshold` is shown as 100, and `threshold - span` as 0.

    Uses exact fractions and rounds away from 100: with any number of digits a score above the
    threshold is shown above 100, and all others at 100 or below.
    """

    threshold: float
    span: float  # above 0, finite

    @classmethod
    def of(cls, threshold: float, normals: Sequence[float] | np.ndarray = ()) -> "Display":
        """The scale on which a typical good part is 0: the lower median of the normals' scores.

        Without normals, or if their median is not below the threshold, the span is the absolute
        value of the threshold: then 110 is a tenth above it.
        """
        usual = sorted(float(score) for score in normals)[(len(normals) - 1) // 2 :][:1] or [0.0]
        span = threshold - usual[0]
        if not 0 < span < math.inf:
            span = abs(threshold) if math.isfinite(threshold) and threshold != 0 else 1.0
        return cls(threshold, span)

    def score(self, raw: float) -> float:
        """The displayed score. It rises with the raw score and is above 100 for a defect."""
        exact = self._exact(raw)
        shown = float(exact)
        if exact > 100 and shown <= 100:
            return math.nextafter(100, math.inf)
        return shown

    def text(self, raw: float, digits: int = 0) -> str:
        """The displayed score with this many digits after the point."""
        exact = self._exact(raw) * 10**digits
        whole = math.ceil(exact) if exact > 100 * 10**digits else math.floor(exact)
        sign, whole = "-" * (whole < 0), abs(whole)
        if digits == 0:
            return f"{sign}{whole}"
        return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}d}"

    def _exact(self, raw: float) -> Fraction:
        """The displayed score, limited to -TOP..TOP; above 100 exactly if raw is a defect."""
        if math.isnan(raw) or math.isnan(self.threshold):
            raise DataError(f"score {raw}, threshold {self.threshold}: nan cannot be displayed")
        if math.isinf(self.threshold):  # everything or nothing is a defect
            return Fraction(TOP if raw > self.threshold else 100)
        if math.isinf(raw):
            return Fraction(math.copysign(TOP, raw))
        above = Fraction(raw) - Fraction(self.threshold)
        line = 100 + 100 * above / Fraction(self.span)
        return max(Fraction(-TOP), min(Fraction(TOP), line))
