"""What a model gave on test images."""

import numpy as np

from tasks.models import figures
from tasks.models.inspector import Inspection


def test_scores_that_came_in_another_order_belong_to_their_rows() -> None:
    rows = [{"path": name, "label": "good"} for name in "abcd"]
    order = [2, 0, 3, 1]
    result = figures.TestResult(rows)
    for at in order:
        map = np.full((4, 4), at, np.float32)
        result.add(Inspection(float(at), map, map))
    assert result.count == 4
    result.put_in_order(order)
    assert all(scores == [0, 1, 2, 3] for scores in result.by_rule.values())
