"""What the cells of a run share, and how their processes end."""

import os

import pytest

from flows.running.child import Job
from flows.running.process import run_job, worth_importing
from tasks.build.records import Stage
from tasks.workspace.errors import AwayError, CellError, LineError
from tasks.workspace.paths import Workspace


@pytest.mark.parametrize(("products", "once"), [(["cap"], False), (["cap", "plate"], True)])
def test_what_more_than_one_step_needs_is_imported_once(products, once):
    stages = [Stage("validate", product) for product in products]
    assert worth_importing(stages) == ["great_expectations"] * once


def answers(workspace, kind):
    """What a job of these tests does."""
    if kind == "away":
        raise AwayError("nothing answers")
    if kind == "dies":
        os._exit(3)
    if kind == "wrong":
        raise KeyError(kind)
    return workspace.root, os.environ.get("INSPECTLINE_OF_THE_TEST")


def job(folder, kind):
    return Job(f"{__name__}:answers", Workspace(folder), (kind,), folder / "log")


def test_a_job_returns_what_it_found_under_the_settings_of_now(tmp_path, monkeypatch):
    monkeypatch.setenv("INSPECTLINE_OF_THE_TEST", "1")
    assert run_job(job(tmp_path, "well")) == (tmp_path, "1")
    monkeypatch.setenv("INSPECTLINE_OF_THE_TEST", "2")
    assert run_job(job(tmp_path, "well")) == (tmp_path, "2")


@pytest.mark.parametrize(
    ("kind", "error", "why"),
    [
        ("away", AwayError, "nothing answers"),
        ("dies", CellError, "exit code 3"),
        ("wrong", CellError, "KeyError"),
    ],
)
def test_a_job_fails_with_its_own_error(tmp_path, kind, error, why):
    with pytest.raises(LineError, match=why) as caught:
        run_job(job(tmp_path, kind))
    assert type(caught.value) is error
