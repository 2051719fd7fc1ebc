"""What the cells of a run share."""

import pytest

from flows.running.process import worth_importing
from tasks.build.records import Stage

KERNEL = "ad_models.coreset_kernel"


@pytest.mark.parametrize(
    ("fits", "once"),
    [(["patchcore"], False), (["patchcore", "pni"], True), (["padim", "fastflow"], False)],
)
def test_what_more_than_one_fit_compiles_with_is_imported_once(fits, once):
    assert (KERNEL in worth_importing([Stage("fit", "cap", name) for name in fits])) is once
