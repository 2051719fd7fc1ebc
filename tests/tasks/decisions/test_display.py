import math
import struct
from decimal import Decimal

import numpy as np
import pytest

from tasks.decisions.display import TOP, Display
from tasks.workspace.errors import DataError

SPECIAL = [
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    2.2e-308,
    1e-300,
    1.0,
    -1.0,
    0.1,
    100.0,
    1.7976931348623157e308,
]
SPECIAL += [-1.7976931348623157e308, math.inf, -math.inf, 3.4028234663852886e38, 1e16, -1e16]


def any_float(rng):
    """Floats of every bit pattern but nan's, and often the odd ones."""
    if rng.random() < 0.3:
        return SPECIAL[rng.integers(len(SPECIAL))]
    value = struct.unpack("<d", rng.bytes(8))[0]
    return any_float(rng) if math.isnan(value) else value


def around(value):
    """The value, its neighbours, and others near it."""
    near = [value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)]
    return near + [value * (1 + e) for e in (1e-15, -1e-15, 1e-9, -1e-9, 0.01)]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_displayed_never_decides_otherwise(seed):
    rng = np.random.default_rng(seed)
    for _ in range(400):
        threshold = any_float(rng)
        display = Display.of(threshold, [any_float(rng) for _ in range(rng.integers(3))])
        for raw in [*around(threshold), any_float(rng), any_float(rng)]:
            if math.isnan(raw):
                continue
            defect = raw > threshold
            assert (display.score(raw) > 100) == defect
            for digits in (0, 1, 3, 20):
                text = display.text(raw, digits)
                assert (Decimal(text) > 100) == defect, (raw, threshold, text)
                assert len(text.partition(".")[2]) == digits


@pytest.mark.parametrize("seed", range(4))
def test_a_higher_score_is_not_displayed_lower(seed):
    rng = np.random.default_rng(seed)
    for _ in range(100):
        threshold = any_float(rng)
        display = Display.of(threshold, [any_float(rng)])
        raws = sorted(
            x
            for x in [*around(threshold), *(any_float(rng) for _ in range(9))]
            if not math.isnan(x)
        )
        shown = [display.score(raw) for raw in raws]
        assert shown == sorted(shown)
        texts = [Decimal(display.text(raw, 2)) for raw in raws]
        assert texts == sorted(texts)


@pytest.mark.parametrize(
    ("raw", "threshold", "normals", "text"),
    [
        (30.0, 30.0, (), "100.0"),
        (33.0, 30.0, (), "110.0"),  # a tenth above
        (15.0, 30.0, (), "50.0"),
        (20.0, 30.0, [10.0, 20.0], "50.0"),
        (25.0, 30.0, [20.0], "50.0"),  # between a good part and the threshold
        (-3.0, -2.0, [-4.0], "50.0"),
        (-1.0, -2.0, (), "150.0"),  # two below is 0, as two above 2 is 200
        (-4.0, -2.0, (), "0.0"),
        (0.5, 0.0, (), "150.0"),
        (5.0, 30.0, [40.0, 50.0], "16.6"),
        (-1e-9, 0.0, (), "99.9"),
        (1e-9, 0.0, (), "100.1"),
        (5.0, 30.0, [20.0], "-150.0"),
        (math.inf, 30.0, (), f"{TOP}.0"),
    ],
)
def test_examples(raw, threshold, normals, text):
    assert Display.of(threshold, normals).text(raw, 1) == text


def test_it_is_the_straight_line_where_there_is_room():
    display = Display.of(7.0, [2.0, 3.0, 9.0])
    for raw in np.linspace(-5, 20, 57):
        assert display.score(raw) == pytest.approx(np.interp(raw, [-97, 103], [-2500, 2500]))


def test_nan_is_refused():
    with pytest.raises(DataError, match="nan cannot be displayed"):
        Display(1.0, 0.0).text(math.nan)
