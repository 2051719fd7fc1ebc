"""Two cells of one product with their own sizes of images, through the whole line."""

import json

import pytest
import yaml

from tasks.documents.model_card import CARD_JSON, ModelCard
from tasks.models.pixels import image_of
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.paths import CARD, INSPECT, ONNX
from tests.flows.conftest import edit

SIZES = {"padim": [96, 80], "patchcore": [48, 48]}  # the product's is 64
TEXTS = {"padim": "96 x 80 px", "patchcore": "48 px"}


@pytest.mark.slow
def test_cells_of_two_sizes_go_through_the_whole_line(make, tmp_path, command):
    made = make(tmp_path / "ws", "cap", defaults__release={"onnx": True, "int8": True})
    own = {name: {"image": {"size": size}} for name, size in SIZES.items()}
    own["padim"]["training"] = {"batch_size": 5}
    edit(made, "cap", algorithms=own, gates={"parity": 0.5})
    run = command(made, "run")
    assert run.exit_code == 0, run.output
    recipe = yaml.safe_load(made.product_recipe("cap").read_text())["fit"]
    for name, size in SIZES.items():
        card = json.loads((made.model("cap", name) / CARD).read_text())
        assert card["image"]["size"] == size == recipe[name]["image"]["size"]
    found = json.loads(command(made, "results", "--json").stdout)
    assert {row["algorithm"]: row["image_size"] for row in found} == TEXTS
    assert {row["algorithm"]: row["batch_size"] for row in found} == {"padim": 5, "patchcore": 16}

    store = store_of(made)
    best = champion(store, "cap")
    stick = tmp_path / "stick"
    pulled = command(made, "pull", "cap", "--to", stick)
    assert pulled.exit_code == 0, pulled.output
    folder = next(path.parent for path in stick.rglob(INSPECT))
    assert list(image_of(folder).size) == SIZES[best.algorithm]
    assert ModelCard.read(folder / CARD_JSON).image_size == TEXTS[best.algorithm]
    assert (folder / ONNX).is_file()
    assert command(made, "selftest", stick).exit_code == 0

    image = next(made.images("cap").rglob("*.png"))
    said = command(made, "predict", "cap", image, "--json")
    assert said.exit_code == 0 and json.loads(said.stdout)["release"] == best.release
