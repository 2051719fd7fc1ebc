"""Scores for people's eyes: 100 is the threshold. Nothing is ever decided on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tasks.workspace.errors import DataError

TOP = 9999  # what lies further from 0 is shown as this


@dataclass(frozen=True)
class Display:
    """A straight line: raw `threshold` is shown as 100, and what lies `span` below it as 0.

    Exact fractions, then rounding away from 100: a score above the threshold is shown above 100
    and every other at 100 or below, at any number of digits.
    """

    threshold: float
    span: float  # above 0, finite

    @classmethod
    def of(cls, threshold: float, normals: Sequence[float] | np.ndarray = ()) -> "Display":
        """The display in which a usual good part is 0: the lower median of the normals' scores.

        Without normals, or where they lie no lower than the threshold, the span is the size of
        the threshold: 110 is then a tenth of it above.
        """
        usual = sorted(float(score) for score in normals)[(len(normals) - 1) // 2 :][:1] or [0.0]
        span = threshold - usual[0]
        if not 0 < span < math.inf:
            span = abs(threshold) if math.isfinite(threshold) and threshold != 0 else 1.0
        return cls(threshold, span)

    def score(self, raw: float) -> float:
        """The displayed score, rising with the raw one; above 100 where that is a defect."""
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
        """The displayed score within -TOP..TOP; above 100 exactly where raw is a defect."""
        if math.isnan(raw) or math.isnan(self.threshold):
            raise DataError(f"score {raw}, threshold {self.threshold}: nan cannot be displayed")
        if math.isinf(self.threshold):  # all or nothing is a defect
            return Fraction(TOP if raw > self.threshold else 100)
        if math.isinf(raw):
            return Fraction(math.copysign(TOP, raw))
        above = Fraction(raw) - Fraction(self.threshold)
        line = 100 + 100 * above / Fraction(self.span)
        return max(Fraction(-TOP), min(Fraction(TOP), line))
