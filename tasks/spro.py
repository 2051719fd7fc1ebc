"""Exact saturated PRO, for defects where finding a part of the area is enough.

Bergmann et al., Beyond Dents and Scratches (MVTec LOCO AD), IJCV 2022,
doi:10.1007/s11263-022-01578-9: a defect is found to the share min(found pixels / saturation, 1);
the false positive rate is over the pixels that are in no defect. Measure the logical and the
structural defects apart, each together with the good images; the dataset's figure is their mean.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from tasks import ranking
from tasks.background import Background
from tasks.errors import DataError
from tasks.ranking import Floats
from tasks.scores import as_bools, as_floats, check_finite


def saturation_area(area: int, threshold: float, relative: bool) -> int:
    """Pixels of a defect (area: pixels) that are enough: a share of it, or a number of pixels."""
    return max(1, int(threshold * area) if relative else int(min(threshold, area)))


class SaturatedPro:
    """Area under the sPRO curve up to each limit, of maps that are given one by one.

    limits, block: as of `PixelMetrics`.
    """

    def __init__(self, limits: Sequence[float] = (0.05,), block: int = 1 << 21) -> None:
        self.limits = tuple(limits)
        self.images = self.defects = 0
        self.scores: list[Floats] = []  # of each defect the highest, as many as saturate it
        self.background = Background(block)

    def update(self, map: Any, masks: Any = (), saturations: Sequence[int] = ()) -> None:
        """Take in a map (H, W) and the masks (D, H, W) of its defects, none for a good image;
        masks may overlap. saturations: pixels of each that are enough."""
        scores, truth = as_floats(map), as_bools(masks, "masks")
        truth = truth.reshape(-1, *scores.shape) if truth.size == 0 else truth
        if scores.ndim != 2 or truth.shape != (len(saturations), *scores.shape):
            raise DataError(
                f"map {scores.shape}, masks {truth.shape} and {len(saturations)} saturations: give "
                "(H, W), (D, H, W) and D"
            )
        check_finite(scores, self.images)
        for number, (mask, enough) in enumerate(zip(truth, saturations, strict=True)):
            if not 1 <= enough <= mask.sum():
                raise DataError(
                    f"defect {number} of map {self.images}: saturation {enough} of "
                    f"{mask.sum()} pixels; give 1 pixel at least and all of them at most"
                )
        self.images += 1
        self.background.add(scores[~truth.any(0)])
        for mask, enough in zip(truth, saturations, strict=True):
            # Below its saturation a defect gains 1 / saturation a pixel, from there on nothing.
            inside = scores[mask]
            self.scores.append(np.partition(inside, inside.size - enough)[inside.size - enough :])
        self.defects = len(self.scores)

    def compute(self) -> dict[str, float | None]:
        """`spro_05` for the limit 0.05 and so on; None without a defect. No update may follow."""
        scores = np.concatenate([np.zeros(0, np.float32), *self.scores])
        weights = [np.full(part.size, 1 / (part.size * self.defects)) for part in self.scores]
        distinct, which = ranking.levels(scores)
        counts = ranking.count(distinct, self.background.blocks())
        table = ranking.rank(which, np.concatenate([np.zeros(0), *weights]), counts)
        self.close()
        return {
            f"s{ranking.aupro_name(limit)[2:]}": (
                float(ranking.aupro(table, limit)) if table.defined else None
            )
            for limit in self.limits
        }

    def close(self) -> None:
        """Drop the scores and the temporary file."""
        self.scores = []
        self.background.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
