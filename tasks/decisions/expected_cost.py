"""The threshold of least expected cost, from good scores and known defects.

The share of good parts above a threshold comes from their tail model, so it is smooth. The share of
defects below it is a mixture: the known defects, each with a kernel of Silverman's width, and a
prior that weighs as much as `PRIOR` defects. The prior spreads defects evenly over scores, so
densely that without any known defect the least cost lies at the promised overkill. So few defects
move the threshold a little, and many decide it.
"""

import numpy as np

from tasks.decisions.tail import Tail
from tasks.spec.schema import Cost

PRIOR = 5.0  # defects that the prior weighs
GRID = 1500  # thresholds that are compared
NARROWEST = 0.3  # width of a kernel, in deviations of good scores


def weights(cost: Cost) -> tuple[float, float]:
    """Cost of a missed defect and of a rejected good part, each times its share of production."""
    return cost.defects * cost.miss, (1 - cost.defects) * cost.overkill


def cheapest(tail: Tail, bad: np.ndarray, overkill: float, cost: Cost) -> float:
    """The threshold for defects (m,), m at least 1; `overkill`: of good parts, without defects."""
    from scipy.special import ndtr  # norm.cdf without its checks
    from scipy.stats import t

    missed, rejected = weights(cost)
    promised = float(t.isf(overkill, tail.n - 1))
    dense = rejected * float(t.pdf(promised, tail.n - 1)) / missed
    at = np.clip(tail.z(bad), -20.0, 50.0)  # farther away makes no difference
    grid = np.linspace(min(-2.0, promised), max(12.0, 2 * promised), GRID)
    known = ndtr((grid[:, None] - at) / kernel_width(at)).mean(axis=1)
    miss = (len(at) * known + PRIOR * dense * (grid - promised)) / (len(at) + PRIOR)
    total = missed * miss + rejected * t.sf(grid, tail.n - 1)
    return float(tail.score(grid[int(np.argmin(total))]))


def kernel_width(values: np.ndarray) -> float:
    """Silverman's width for values (m,), robust to outliers; at least `NARROWEST`."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else 3.0
    if len(values) > 3:
        low, high = np.percentile(values, [25, 75])
        spread = min(spread, float(high - low) / 1.34) or spread
    return max(NARROWEST, 1.06 * spread * len(values) ** -0.2)


def expected(cost: Cost, miss: float | None, overkill: float | None, review: float | None) -> float:
    """Expected cost of a part that is produced, from shares of defects missed, of good parts
    rejected, and of all parts sent to review. What is not known costs nothing."""
    missed, rejected = weights(cost)
    return missed * (miss or 0) + rejected * (overkill or 0) + cost.review * (review or 0)


def cost_interval(
    cost: Cost, rates: dict[str, float | None], limits: dict[str, tuple[float, float] | None]
) -> tuple[float, float] | None:
    """95 % interval of the cost of `miss` and `overkill`, from each rate and its own interval.

    Method of variance estimates recovery (Zou and Donner, Statistics in Medicine 2008): the ends
    lie as far from the sum as the root of the summed squares of the parts. None without defects.
    """
    if limits["miss"] is None:
        return None
    below = above = total = 0.0
    for name, weight in zip(("miss", "overkill"), weights(cost), strict=True):
        rate, ends = rates[name], limits[name]
        if rate is None or ends is None:
            continue
        total += weight * rate
        below += (weight * (rate - ends[0])) ** 2
        above += (weight * (ends[1] - rate)) ** 2
    return max(0.0, total - below**0.5), total + above**0.5
