"""A teacher is distilled once; fits of all products take it from its file."""

import json

import pytest
import yaml
from safetensors import safe_open

from ad_models.errors import Cancelled
from tasks.build.graph import product_graph
from tasks.decisions.split import held_out
from tasks.distil import distil_teacher
from tasks.workspace.errors import DataError, SpecError, WorkspaceError
from tasks.workspace.paths import MODEL
from tests.tasks.test_pretrain import Silent, fitted, rows_of, workspace  # noqa: F401

SMALL = {"backbone": "drawnet", "weights": "random", "layers": ["layer1"], "steps": 1}
SMALL |= {"width": 16, "channels": 16, "side": 64, "teacher_steps": 6}


class Stopped(Silent):
    """Asks to stop at the question of this number."""

    def __init__(self, number):
        self.left = number

    def should_stop(self):
        self.left -= 1
        return self.left < 0


@pytest.fixture
def ready(workspace, monkeypatch):  # noqa: F811
    write_params(workspace)
    monkeypatch.chdir(workspace.root)
    return workspace


def write_params(workspace, **more):  # noqa: F811
    content = {
        "defaults": {
            "algorithms": ["efficientad"],
            "image": {"size": 48},
            "training": {"calibration": 0.3, "batch_size": 4},
        },
        "algorithms": {"efficientad": SMALL | more},
        "line": {"device": "cpu"},
    }
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(content))


def read(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_one_teacher_serves_products_it_never_saw(ready):
    made = distil_teacher(ready, ["nut", "pin"], Silent())
    with safe_open(made, framework="pt") as file:
        assert file.metadata()["source"] == "distilled from random; natural images: none"
    write_params(ready, teacher=str(made.relative_to(ready.root)))
    fitted(ready, "new", "efficientad", Silent())
    card = json.loads((ready.model("new", "efficientad") / "fit.json").read_text())
    assert card["backbone_weights"].startswith("efficientad-small.safetensors sha256:")
    assert card["parameters"]["teacher"] == "data/.shared/efficientad-small.safetensors"
    found = read(ready.model("new", "efficientad") / MODEL)
    for name, value in read(made).items():
        assert found[f"teacher.{name}"].equal(value)


def test_what_sets_a_threshold_did_not_teach(ready):
    rows = rows_of(ready, "pin")
    sides = held_out([row["sha256"] for row in rows], 0.3)
    for held in (True, False):
        for row, side in zip(rows, sides, strict=True):
            if side == held:
                (ready.images("pin") / row["path"]).unlink()
        if held:
            distil_teacher(ready, ["pin"], Silent())  # it never looks at them
    with pytest.raises(DataError, match="no such file"):
        distil_teacher(ready, ["pin"], Silent())


def test_a_teacher_that_was_stopped_goes_on_bit_for_bit(ready):
    whole = distil_teacher(ready, [], Silent()).read_bytes()
    with pytest.raises(Cancelled, match="teacher"):
        distil_teacher(ready, [], Stopped(10))
    kept = list((ready.scratch / "checkpoints").rglob("*.ckpt"))
    assert len(kept) == 1
    assert distil_teacher(ready, [], Silent()).read_bytes() == whole
    assert not kept[0].exists()


class Heard(Silent):
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def test_a_teacher_may_take_other_steps_than_the_preset_has(ready):
    heard, asked = Heard(), Heard()
    few = distil_teacher(ready, ["pin"], heard).read_bytes()
    assert heard.said[0] == "a teacher of 6 steps; the paper's has 60000, see --steps"
    assert distil_teacher(ready, ["pin"], asked, steps=2).read_bytes() != few
    assert asked.said[0].startswith("a teacher of 2 steps;")
    assert distil_teacher(ready, ["pin"], Silent(), steps=6).read_bytes() == few


def test_fits_depend_on_the_file(ready):
    write_params(ready, teacher="mine.safetensors")
    with pytest.raises(SpecError, match=r"no file mine.safetensors .*inspectline distil"):
        product_graph(ready, "nut")
    (ready.root / "mine.safetensors").touch()
    deps = product_graph(ready, "nut")["stages"]["fit-efficientad"]["deps"]
    assert deps[-1] == "../../mine.safetensors"


def test_products_that_cannot_teach_are_named(ready):
    with pytest.raises(WorkspaceError, match="no product 'nutt'"):
        distil_teacher(ready, ["nutt"], Silent())
    (ready.validation("nut") / "train.csv").unlink()
    with pytest.raises(DataError, match="nut is not validated yet"):
        distil_teacher(ready, [], Silent())
