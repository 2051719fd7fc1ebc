"""Products share what an algorithm learned; no image both taught it and sets a threshold."""

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from ad_models import Batch
from tasks.build.graph import recipes
from tasks.decisions.split import held_out
from tasks.fit import fit
from tasks.images.loader import ImageLoader, MixedLoader
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

    def say(self, text):
        pass

    def should_stop(self):
        return False


@pytest.fixture
def workspace(tmp_path):
    """Products nut, pin and new, of 10, 8 and 6 images."""
    return products_in(tmp_path)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """The same after the learning. Only to be read."""
    made = products_in(tmp_path_factory.mktemp("learned"))
    learn(made)
    return made


@pytest.fixture
def taught(learned, tmp_path):
    """The same, to be changed."""
    return Workspace(shutil.copytree(learned.root, tmp_path / "taught"))


def products_in(folder):
    made = Workspace(folder)
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


def card_of(folder):
    return json.loads((folder / "fit.json").read_text())


def learn(workspace, algorithm="regad"):
    path = workspace.recipe(algorithm)
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(shared_recipe(workspace.root, algorithm, workspace.products)))
    pretrain(workspace, algorithm, Silent())


def fitted(workspace, product, algorithm, listener):
    """A fit by the spec as it is now."""
    recipes(workspace)
    return fit(workspace, product, algorithm, listener)


def scored(workspace, product):
    fitted(workspace, product, "regad", Silent())
    return {row["path"] for row in read_rows(workspace.model(product, "regad") / "calibration.csv")}


def rows_of(workspace, product):
    return read_rows(workspace.validation(product) / "train.csv")


def test_what_sets_a_threshold_was_not_learned_from(taught):
    card = card_of(taught.shared("regad"))
    for product, count in (("nut", 10), ("pin", 8)):
        rows = rows_of(taught, product)
        sides = held_out([row["sha256"] for row in rows], 0.3)
        held = {row["path"] for row, side in zip(rows, sides, strict=True) if side}
        assert card["fit_images"][product] == count - len(held)
        assert scored(taught, product) == held
    assert not list((taught.scratch / "checkpoints").rglob("*.ckpt"))


def test_a_new_product_needs_its_support_only(taught):
    learned = card_of(taught.shared("regad"))
    ordered = sorted(rows_of(taught, "new"), key=lambda row: row["sha256"])
    assert scored(taught, "new") == {row["path"] for row in ordered[2:]}
    card = card_of(taught.model("new", "regad"))
    assert (card["fit_images"], card["shared"]) == (2, learned["identity"])


@pytest.mark.parametrize(("shots", "parts"), [(3, None), (4, 3), (5, 6), (6, 6), (9, 6)])
def test_few_images_set_the_threshold_each_in_a_calibration_without_it(taught, shots, parts):
    write_params(taught, shots=shots)
    rows = {row["path"] for row in rows_of(taught, "new")}  # 6
    found = scored(taught, "new")
    card = card_of(taught.model("new", "regad"))
    how = {None: "held out", 6: "leave one out"}.get(parts, f"{parts} folds")
    assert card["calibration"] == how
    assert found == rows if parts else (found < rows and len(found) == 3)
    assert (card["fit_images"], card["parameters"]["shots"]) == (min(shots, 6), shots)


def test_dinomaly_for_all_calibrates_on_nothing(workspace):
    name = "unified_dinomaly"
    small = {"backbone": "test_vit", "weights": "random", "size": 32, "blocks": [0, 1], "batch": 4}
    content = yaml.safe_load((workspace.root / "params.yaml").read_text())
    content["defaults"]["algorithms"] = [name]
    content["algorithms"] = {name: small | {"steps": 2, "train_on": ["nut", "pin"]}}
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(content))
    learn(workspace, name)
    assert sum(card_of(workspace.shared(name))["fit_images"].values()) == 18 - 3 - 2
    for product, count in (("nut", 3), ("new", 6)):  # held out; never learned from
        fitted(workspace, product, name, Silent())
        card = card_of(workspace.model(product, name))
        scores = read_rows(workspace.model(product, name) / "calibration.csv")
        assert (card["fit_images"], card["calibration"]) == (0, "held out")
        assert len(scores) == count


def test_products_of_another_size_are_refused(taught):
    (taught.product("pin") / "product.yaml").write_text("image: {size: 64}")
    with pytest.raises(SpecError, match=r"nut has \[32, 32\] and pin \[64, 64\].*train_on"):
        learn(taught)
    (taught.product("pin") / "product.yaml").write_text("")
    (taught.product("new") / "product.yaml").write_text("image: {size: 64}")
    recipes(taught)
    with pytest.raises(SpecError, match=r"new has an image.size of \[64, 64\], but regad learned"):
        fitted(taught, "new", "regad", Silent())


def test_a_fit_before_the_learning_says_so(workspace):
    recipes(workspace)
    with pytest.raises(DataError, match="regad is missing; `inspectline run`"):
        fitted(workspace, "new", "regad", Silent())


def test_batches_of_several_products_are_of_one_each(workspace):
    spec = Preprocess(Spec(size=32))
    loaders = [
        ImageLoader(sorted(workspace.images(p).glob("*.png")), spec, 4, True, p)
        for p in ("nut", "pin")
    ]
    mixed = MixedLoader(loaders)
    torch.manual_seed(0)
    found: list[Batch] = list(mixed)
    assert len(found) == len(mixed) == 3 + 2
    assert sorted(len(batch.image) for batch in found) == [2, 4, 4, 4, 4]
    assert all(len(set(batch.category)) == 1 for batch in found)
    orders = {tuple(b.category[0] for b in mixed) for _ in range(8)}
    assert len(orders) > 1
