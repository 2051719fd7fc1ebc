"""Two cells of one product with their own sizes of images, through the whole line."""

import json

import pytest

from tasks.build.fingerprint import STEPS, write_fingerprints
from tasks.build.graph import sync
from tasks.documents.model_card import CARD_JSON, ModelCard
from tasks.evaluate import evaluate
from tasks.fit import fit
from tasks.gate import gate
from tasks.leaderboard import read_results
from tasks.models.pixels import image_of
from tasks.validate import validate
from tasks.workspace.paths import INSPECT, ONNX
from tests.flows.conftest import edit
from tests.tasks.test_pretrain import Silent

SIZES = {"padim": (96, 80), "patchcore": (48, 48)}  # the product's is 64
TEXTS = {"padim": "96 x 80 px", "patchcore": "48 px"}


@pytest.mark.slow
def test_cells_of_two_sizes_go_through_the_whole_line(make, tmp_path, command):
    made = make(tmp_path / "ws", "cap", defaults__release={"onnx": True, "int8": True})
    own = {name: {"image": {"size": list(size)}} for name, size in SIZES.items()}
    own["padim"]["training"] = {"batch_size": 5}
    edit(made, "cap", algorithms=own, gates={"parity": 0.9})
    sync(made)
    write_fingerprints(made, [*STEPS, *SIZES])
    validate(made, "cap", Silent())
    for name, size in SIZES.items():
        fit(made, "cap", name, Silent())
        evaluate(made, "cap", name, Silent())
        assert image_of(made.model("cap", name)).size == size
    found = {cell.algorithm: cell for cell in read_results(made)}
    assert {name: cell.image_size for name, cell in found.items()} == TEXTS
    assert [found[name].batch_size for name in SIZES] == [5, 16]
    assert found["patchcore"].preset == ("paper, backbone drawnet, at 48 px (paper: 224 px)")

    decision = gate(made, "cap", "test", list(SIZES))
    assert decision.accepted, decision.reasons
    best = decision.challenger.algorithm
    stick = tmp_path / "stick"
    assert command(made, "pull", "cap", "--to", stick).exit_code == 0
    [folder] = {path.parent for path in stick.rglob(INSPECT)}
    assert (folder / ONNX).is_file() and image_of(folder).size == SIZES[best]
    assert ModelCard.read(folder / CARD_JSON).image_size == TEXTS[best]
    tried = command(made, "selftest", stick)
    assert tried.exit_code == 0, tried.output
    image = next(made.images("cap").rglob("*.png"))
    said = command(made, "predict", "cap", image, "--json")
    assert said.exit_code == 0 and json.loads(said.stdout)["score"] >= 0
