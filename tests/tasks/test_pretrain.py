"""Products share what an algorithm learned; no image both taught it and sets a threshold."""

import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ad_models import Batch
from tasks.build.graph import recipes
from tasks.decisions.split import split
from tasks.fit import fit
from tasks.images.loader import ImageLoader, Mixed
from tasks.images.preprocess import Preprocess
from tasks.pretrain import pretrain
from tasks.spec.recipe import shared_recipe
from tasks.spec.schema import Image as Spec
from tasks.workspace.errors import DataError, SpecError
from tasks.workspace.files import read_rows, write_rows
from tasks.workspace.paths import Workspace

REGAD = {"weights": "random", "epochs": 1, "shots": 2, "train_on": ["nut", "pin"]}


class Silent:
    def report(self, *_, **__):
        pass

    def note(self, text):
        pass

    def should_stop(self):
        return False


@pytest.fixture
def workspace(tmp_path):
    """Products nut, pin and new, of 10, 8 and 6 images."""
    made = Workspace(tmp_path)
    write_params(made)
    rng = np.random.default_rng(0)
    for product, count in (("nut", 10), ("pin", 8), ("new", 6)):
        made.images(product).mkdir(parents=True)
        made.validation(product).mkdir()
        (made.product(product) / "product.yaml").write_text("")
        rows = []
        for number in range(count):
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(made.images(product) / f"{number}.png")
            rows.append({"path": f"{number}.png", "sha256": rng.bytes(32).hex()})
        write_rows(made.validation(product) / "train.csv", ("path", "sha256"), rows)
    return made


def write_params(workspace, size=32, **more):
    content = {
        "defaults": {
            "algorithms": ["regad"],
            "image": {"size": size},
            "training": {"calibration": 0.3},
        },
        "algorithms": {"regad": REGAD | more},
        "line": {"device": "cpu"},
    }
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(content))


def learn(workspace):
    path = workspace.recipe("regad")
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(shared_recipe(workspace.root, "regad", workspace.products)))
    pretrain(workspace, "regad", Silent())
    return json.loads((workspace.shared("regad") / "fit.json").read_text())


def scored(workspace, product):
    recipes(workspace)
    fit(workspace, product, "regad", Silent())
    return {row["path"] for row in read_rows(workspace.model(product, "regad") / "calibration.csv")}


def rows_of(workspace, product):
    return read_rows(workspace.validation(product) / "train.csv")


def test_what_sets_a_threshold_was_not_learned_from(workspace):
    card = learn(workspace)
    for product, count in (("nut", 10), ("pin", 8)):
        rows = rows_of(workspace, product)
        sides = split([row["sha256"] for row in rows], 0.3)
        held = {row["path"] for row, side in zip(rows, sides, strict=True) if side}
        assert card["fit_images"][product] == count - len(held)
        assert scored(workspace, product) == held
    assert not list((workspace.scratch / "checkpoints").rglob("*.ckpt"))


def test_a_new_product_needs_its_support_only(workspace):
    learned = learn(workspace)
    ordered = sorted(rows_of(workspace, "new"), key=lambda row: row["sha256"])
    assert scored(workspace, "new") == {row["path"] for row in ordered[2:]}
    card = json.loads((workspace.model("new", "regad") / "fit.json").read_text())
    assert (card["fit_images"], card["shared"]) == (2, learned["identity"])
    write_params(workspace, shots=8)  # more than there are: each is scored without itself
    assert scored(workspace, "new") == {row["path"] for row in ordered}
    card = json.loads((workspace.model("new", "regad") / "fit.json").read_text())
    assert (card["fit_images"], card["parameters"]["shots"]) == (6, 8)


@pytest.mark.parametrize(("shots", "parts"), [(3, None), (4, 3), (5, 6), (6, 6), (9, 6)])
def test_few_images_set_the_threshold_each_in_a_calibration_without_it(workspace, shots, parts):
    learn(workspace)
    write_params(workspace, shots=shots)
    rows = {row["path"] for row in rows_of(workspace, "new")}  # 6
    assert len(scored(workspace, "new")) == (6 if parts else 3)
    card = json.loads((workspace.model("new", "regad") / "fit.json").read_text())
    assert card["calibration"] == (f"{parts} folds" if parts else "held out")
    assert scored(workspace, "new") <= rows and card["fit_images"] == min(shots, 6)


def test_products_of_another_size_are_refused(workspace):
    (workspace.product("pin") / "product.yaml").write_text("image: {size: 64}")
    with pytest.raises(SpecError, match=r"nut has \[32, 32\] and pin \[64, 64\].*train_on"):
        learn(workspace)
    (workspace.product("pin") / "product.yaml").write_text("")
    learn(workspace)
    (workspace.product("new") / "product.yaml").write_text("image: {size: 64}")
    recipes(workspace)
    with pytest.raises(SpecError, match=r"new has an image.size of \[64, 64\], but regad learned"):
        fit(workspace, "new", "regad", Silent())


def test_a_fit_before_the_learning_says_so(workspace):
    recipes(workspace)
    with pytest.raises(DataError, match="regad is missing; `inspectline run`"):
        fit(workspace, "new", "regad", Silent())


def test_batches_of_several_products_are_of_one_each(workspace):
    spec = Preprocess(Spec(size=32))
    loaders = [
        ImageLoader(sorted(workspace.images(p).glob("*.png")), spec, 4, True, p)
        for p in ("nut", "pin")
    ]
    mixed = Mixed(loaders)
    torch.manual_seed(0)
    found: list[Batch] = list(mixed)
    assert len(found) == len(mixed) == 3 + 2
    assert sorted(len(batch.image) for batch in found) == [2, 4, 4, 4, 4]
    assert all(len(set(batch.category)) == 1 for batch in found)
    orders = {tuple(b.category[0] for b in mixed) for _ in range(8)}
    assert len(orders) > 1
