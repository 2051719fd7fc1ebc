"""Exact pixel and image metrics of anomaly scores, in one streaming pass over the maps.

AUPRO follows the definition of the MVTec AD evaluation (Bergmann et al., IJCV 2021,
doi:10.1007/s11263-020-01400-4): 8-connected regions, background of all images pooled, equal scores
handled together, linear interpolation at the limit. Only the scores of defective pixels stay in
memory; `tasks.metrics.ranking` explains why that is enough. An undefined value is None.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.metrics import ranking
from tasks.metrics.arrays import defect_types, valid_maps
from tasks.metrics.mask_regions import RankedMaps, Region, find_regions, label_regions
from tasks.metrics.pixel_intervals import ImageCounts, PixelInterval
from tasks.metrics.ranking import Floats, Ranking
from tasks.metrics.spill import Background


def pro_curve(ranking: Ranking, limit: float, points: int) -> tuple[Floats, Floats]:
    """Rates and PRO (points,) at the corners of the curve up to the limit; empty if undefined."""
    if not ranking.defined:
        return np.zeros(0), np.zeros(0)
    height = np.append(0, np.cumsum(ranking.weights))
    rates = np.column_stack((ranking.above, ranking.reached)).ravel() / ranking.negatives
    fpr = np.concatenate(([0], rates, [1]))
    pro = np.concatenate(([0], np.column_stack((height[:-1], height[1:])).ravel(), height[-1:]))
    last = np.interp(limit, fpr, pro)
    inside = fpr < limit
    return thin_curve(np.append(fpr[inside], limit), np.append(pro[inside], last), points)


def thin_curve(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats]:
    """At most this many points of the curve, evenly along its length, including both ends."""
    if x.size <= points:
        return x, y
    length = np.append(0, np.cumsum(np.hypot(np.diff(x) / x[-1], np.diff(y))))
    chosen = np.searchsorted(length, np.linspace(0, length[-1], points))
    chosen = np.unique(np.append(chosen[:-1], x.size - 1))
    return x[chosen], y[chosen]


Value = TypeVar("Value")


class KnownDefects(NamedTuple):
    """All defective pixels (N,), and what counts the background beside them."""

    owners: NDArray[np.int32]  # the region of each
    which: NDArray[np.int32]  # its level
    negatives: ranking.Negatives
    images: ImageCounts | None


class PixelMetrics:
    """Pixel AUROC, AUPRO, AP and F1-max of maps, given batch by batch.

    limits: false positive rates up to which AUPRO integrates; block: background scores held in
    memory, the rest waits in a temporary file until all defects are known (`only_good_follow`,
    `compute`); intervals: resamples of images for `intervals`, which take no second pass; seed: of
    these resamples.
    """

    def __init__(
        self,
        limits: Sequence[float] = (0.3, 0.05),
        block: int = 1 << 21,
        intervals: int = 0,
        seed: int = 0,
    ) -> None:
        if not limits or not all(0 < limit <= 1 for limit in limits):
            raise ValueError(f"limits are {limits}; give false positive rates above 0, at most 1")
        self.limits = tuple(limits)
        self.resamples, self.seed = intervals, seed
        self.rows: list[int] = []  # of each image so far
        self.found: list[Region] = []
        self.scores: list[Floats] = []  # of the defective pixels, an array per image
        self.owners: list[NDArray[np.int32]] = []  # the region of each of these pixels
        self.background = Background(block, by_image=intervals > 0)
        self.known: KnownDefects | None = None
        self.result: RankedMaps | None = None
        self.open = True

    @property
    def images(self) -> int:
        """How many were taken in."""
        return len(self.rows)

    def update(
        self,
        maps: Any,
        masks: Any,
        labels: Sequence[str] | str | None = None,
        row: int | None = None,
    ) -> None:
        """Take in score maps and masks, arrays or tensors (B, H, W), (B, 1, H, W) or (H, W), each
        map as large as its mask; defective is 1.

        labels: defect type of each image, for `by_type`; row: where images come in another order
        than that of their rows, the row of the first one, so that resamples are those of the rows.
        RuntimeError for a defective pixel after `only_good_follow`.
        """
        if not self.open:
            raise RuntimeError("these metrics are computed or closed; start a new PixelMetrics")
        images, truth = valid_maps(maps, masks, self.images)
        types = defect_types(labels, len(images))
        if self.known and truth.any():
            raise RuntimeError("a mask has defective pixels, but only good images were to follow")
        for place, (scores, mask, type) in enumerate(zip(images, truth, types, strict=True)):
            self.background.add(scores[~mask], self.images)
            if mask.any():
                numbers, _ = label_regions(mask)
                self.scores.append(scores[mask])
                self.owners.append(numbers[mask] - 1 + np.int32(len(self.found)))
                self.found += find_regions(scores, numbers, self.images, type)
            self.rows.append(self.images if row is None else row + place)

    def only_good_follow(self) -> None:
        """Give images with defects first, then call this: scores of the good ones that follow are
        counted as they come, and need no room on the disk."""
        if self.known:
            return
        scores, which = ranking.distinct_scores(
            np.concatenate([np.zeros(0, np.float32), *self.scores])
        )
        owners = np.concatenate([np.zeros(0, np.int32), *self.owners])
        images = None
        if self.resamples:
            image = np.array([region.image for region in self.found], int)[owners]
            share = 1 / np.array([region.pixels for region in self.found], float)[owners]
            images = ImageCounts(scores, which, image, share)
            images.resize(self.images)
        self.known = KnownDefects(owners, which, ranking.Negatives(scores), images)
        self.scores, self.owners = [], []
        try:
            self.background.count(self.known.negatives.add, images.visit if images else None)
        except BaseException:
            self.close()  # a part of them is counted
            raise

    def compute(self) -> dict[str, float | None]:
        """Every value by its name; AUPRO up to 0.3 is `aupro_30`. No update may follow."""
        return pixel_named(ranking.metrics_or_none(self._rank().ranking(), self.limits))

    def by_type(self) -> dict[str, dict[str, float | None]]:
        """For each defect type what `compute` gives, of its regions alone against the whole
        background. No update may follow."""
        result = self._rank()
        return {
            type: pixel_named(ranking.metrics_or_none(result.ranking(chosen), self.limits))
            for type, chosen in result.types().items()
        }

    def intervals(self, level: float = 0.95) -> dict[str, PixelInterval | None]:
        """Percentile interval of each value of `compute` over resamples of images; the numbers of
        good and of defective images stay the same. See `pixel_intervals.py`; `error` is the largest
        possible deviation. None with fewer than two images of a kind. No update may follow."""
        result = self._rank()
        if result.images is None:
            raise RuntimeError(
                "no resamples were asked for; start with PixelMetrics(intervals=1000)"
            )
        images = [region.image for region in result.regions]
        bad = np.isin(result.images.bad, images)
        found = result.images.intervals(
            self.limits, self.resamples, self.seed, level, bad, self.rows
        )
        return pixel_named(found or dict.fromkeys(ranking.metric_names(self.limits)))

    def pro_curve(self, limit: float = 0.3, points: int = 500) -> tuple[Floats, Floats]:
        """False positive rates and PRO up to the limit, for a plot. No update may follow."""
        return pro_curve(self._rank().ranking(), limit, points)

    def close(self) -> None:
        """Drop the scores and the temporary file; values already computed can still be read."""
        self.scores, self.owners, self.open = [], [], False
        self.background.close()

    def _rank(self) -> RankedMaps:
        if self.result is None:
            if not self.open:
                raise RuntimeError("these metrics were closed before compute; measure again")
            self.only_good_follow()
            assert self.known
            self.background.flush()
            owners, which, negatives, images = self.known
            if images:
                images.resize(self.images)
            self.result = RankedMaps(self.found, owners, which, negatives.counts(), images)
            self.close()
        return self.result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def pixel_named(found: Mapping[str, Value]) -> dict[str, Value]:
    """The values with `pixel_` before each name, except AUPRO."""
    return {
        name if name.startswith("aupro") else f"pixel_{name}": value
        for name, value in found.items()
    }
