"""The PRO curve of a ranking, exact and thinned for plots."""

import numpy as np

from tasks.ranking import Floats, Ranking


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
    return thin(np.append(fpr[inside], limit), np.append(pro[inside], last), points)


def thin(x: Floats, y: Floats, points: int) -> tuple[Floats, Floats]:
    """At most this many of the curve's points, evenly along its length, both ends among them."""
    if x.size <= points:
        return x, y
    length = np.append(0, np.cumsum(np.hypot(np.diff(x) / x[-1], np.diff(y))))
    chosen = np.searchsorted(length, np.linspace(0, length[-1], points))
    chosen = np.unique(np.append(chosen[:-1], x.size - 1))
    return x[chosen], y[chosen]
