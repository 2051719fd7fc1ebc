"""A teacher for all products, from the command line to the fits of both doors."""

import json
import signal

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.running.plan import make_plan
from tasks.build.graph import sync
from tests.flows.conftest import edit, write_params
from tests.flows.test_dvc import dvc
from tests.tasks.test_distil import SMALL

FILE = "data/.shared/efficientad-small.safetensors"


@pytest.fixture
def interruptible():
    """The command takes Ctrl-C for itself; here it is given back."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_teacher_is_distilled_versioned_and_taken(copy):
    write_params(copy.root, algorithms__efficientad=SMALL)
    told = CliRunner().invoke(main, ["-w", str(copy.root), "distil", "cap"])
    assert told.exit_code == 0 and f"set algorithms.efficientad.teacher: {FILE}" in told.output
    assert (copy.root / f"{FILE}.dvc").is_file()
    write_params(copy.root, algorithms__efficientad=SMALL | {"teacher": FILE})
    edit(copy, "plate", algorithms=["efficientad"])
    sync(copy)
    assert "Running stage" in dvc(copy, "repro", "data/plate/dvc.yaml:fit-efficientad")
    card = json.loads((copy.model("plate", "efficientad") / "fit.json").read_text())
    assert card["backbone_weights"].startswith("efficientad-small.safetensors sha256:")
    evaluate = {"evaluate plate efficientad"}
    assert {str(s) for s in make_plan(copy, ["plate"]).stages} == evaluate
    (copy.root / FILE).write_bytes(b"another")
    stale = {str(s) for s in make_plan(copy, ["plate"]).stages}
    assert stale == {"fit plate efficientad"} | evaluate
