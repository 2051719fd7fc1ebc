"""An algorithm that products share learns once; each product calibrates what came of it."""

import json
import shutil

import pytest

from flows.ingest import ingest_product
from flows.run import run_line
from flows.running.plan import make_plan
from tasks.workspace.paths import Workspace
from tests.flows.conftest import edit, write_params
from tests.flows.test_dvc import dvc

REGAD = {"weights": "random", "epochs": 1, "shots": 2}
FITS = {f"{step} {p} regad" for step in ("fit", "evaluate") for p in ("cap", "plate")}


def stages(workspace, *products):
    return {str(stage) for stage in make_plan(workspace, list(products or ("cap", "plate"))).stages}


def card(folder):
    return json.loads((folder / "fit.json").read_text())


@pytest.fixture(scope="module")
def taught(make, prefect, tmp_path_factory) -> Workspace:
    """Two products that share what was learned from the first, after a run. Only to be read."""
    root = tmp_path_factory.mktemp("shared")
    workspace = make(root, "cap", "plate", algorithms__regad=REGAD | {"train_on": ["cap"]})
    for product in ("cap", "plate"):
        edit(workspace, product, algorithms=["regad"])
    assert run_line(workspace, ["plate"], None)  # and of cap what it takes
    assert stages(workspace) == {"fit cap regad", "evaluate cap regad"}
    assert run_line(workspace, [], None)
    return workspace


@pytest.fixture
def copy(taught, tmp_path):
    shutil.copytree(taught.root, tmp_path / "copy", symlinks=True)
    return Workspace(tmp_path / "copy")


def test_one_learning_serves_all_and_dvc_agrees(taught):
    learned = card(taught.shared("regad"))
    assert list(learned["fit_images"]) == ["cap"]
    for product in ("cap", "plate"):
        made = card(taught.model(product, "regad"))
        assert (made["shared"], made["fit_images"]) == (learned["identity"], 2)
    assert not stages(taught)
    assert "up to date" in dvc(taught, "status")
    assert "Running stage" not in dvc(taught, "repro")


def test_dvc_can_do_the_learning(copy):
    write_params(copy.root, algorithms__regad=REGAD | {"train_on": ["plate"]})
    assert stages(copy) == FITS | {"pretrain regad"}
    assert "Running stage 'pretrain-regad'" in dvc(copy, "repro", "dvc.yaml:pretrain-regad")
    assert list(card(copy.shared("regad"))["fit_images"]) == ["plate"]
    assert stages(copy) == FITS


def test_what_the_learning_reads_makes_it_stale_and_nothing_else(copy):
    def changed(**more):
        write_params(copy.root, algorithms__regad=REGAD | {"train_on": ["cap"]} | more)
        return stages(copy)

    assert changed(shots=4) == FITS
    assert changed(epochs=2) == FITS | {"pretrain regad"}
    write_params(copy.root, algorithms__regad=REGAD)  # all products
    assert stages(copy) == FITS | {"pretrain regad"}
    assert changed() == set()
    edit(copy, "plate", algorithms={"regad": {"shots": 3}})
    assert stages(copy) == {"fit plate regad", "evaluate plate regad"}
    edit(copy, "plate", algorithms=["regad"], image={"color": "grey"})
    assert stages(copy) == {"fit plate regad", "evaluate plate regad"}


def test_a_new_product_is_taught_by_the_others_without_learning(copy, samples):
    ingest_product(copy, "weave", str(samples / "weave"))
    edit(copy, "weave", algorithms=["regad"])
    cells = {"validate weave", "fit weave regad", "evaluate weave regad"}
    assert stages(copy, "weave") == cells
    write_params(copy.root, algorithms__regad=REGAD)  # all products: weave among them
    assert stages(copy, "weave") == cells | {"pretrain regad"}
