"""What the cells of a run share, and how their processes end."""

import os
import subprocess
import sys
from pathlib import Path

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


ELSEWHERE = """
from pathlib import Path
from flows.running.process import prepare, run_job
from tests.flows.test_runner import job
if __name__ == "__main__":
    prepare(["statistics"])
    print(run_job(job(Path.cwd(), "well"))[0])
"""


def test_no_file_of_the_working_folder_is_taken_for_a_module(tmp_path):
    (tmp_path / "statistics.py").write_text("raise SystemExit('not the one')")
    here = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    script = tmp_path / "bin" / "run"  # as pip installs one
    script.parent.mkdir()
    script.write_text(ELSEWHERE)
    ended = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.strip() == str(tmp_path), ended.stderr
