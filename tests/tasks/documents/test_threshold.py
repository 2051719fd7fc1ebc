import pytest

from tasks.documents.threshold import Thresholds
from tasks.workspace.errors import DataError


def test_an_older_release_has_one_threshold_for_both():
    assert Thresholds(threshold=2.0).limits == (2.0, 2.0)
    assert Thresholds(threshold=2.0, accept=1.0).limits == (1.0, 2.0)


def test_without_a_threshold_there_are_no_limits():
    with pytest.raises(DataError, match=r"no threshold; .* more good images"):
        assert Thresholds(threshold=None).limits
