"""`algorithms: auto`: by the number of images, within the gates, and remembered."""

import json

import numpy as np
import pytest
import yaml

from tasks.build import estimate
from tasks.build.choose_algorithms import in_the_box
from tasks.build.graph import sync
from tasks.spec.algorithms import config_fields
from tasks.spec.automatic import FEW, choice_of, choose, explain, summary, teachers, within
from tasks.spec.parameters import trained_on
from tasks.spec.read import PARAMS, default_params, is_automatic, read_product
from tasks.workspace.paths import Workspace

STEPS = {2: ["patchcore", "regad"], 10: ["padim"]}
NO_GATES = {"ms_per_image": None, "ms_p95": None}


def chosen(images, gates=NO_GATES, measured=None, others=True):
    untaught = frozenset() if others else frozenset(["regad"])
    return choose(STEPS, images, gates, measured or {}, untaught)


@pytest.mark.parametrize(
    ("images", "others", "names"),
    [
        (1, True, []),
        (2, True, ["patchcore", "regad"]),
        (2, False, ["patchcore"]),
        (9, False, ["patchcore"]),
        (10, True, ["patchcore", "regad", "padim"]),
    ],
)
def test_algorithms_come_in_with_the_images(images, others, names):
    assert list(chosen(images, others=others)["algorithms"]) == names


def test_what_was_measured_too_slow_is_left_out_and_named():
    measured = {"patchcore": {"ms_per_image": 80.0, "ms_p95": 90.0}, "padim": {"ms_per_image": 5.0}}
    choice = chosen(12, {"ms_per_image": 50.0, "ms_p95": None}, measured)
    assert list(choice["algorithms"]) == ["regad", "padim"]
    assert choice["left_out"] == {"patchcore": {"ms_per_image": 80.0}}
    assert any("patchcore is left out: it took 80 ms an image" in line for line in explain(choice))
    assert "patchcore" in chosen(12, {"ms_per_image": 80.0, "ms_p95": None}, measured)["algorithms"]


@pytest.mark.parametrize(
    ("images", "here", "names"),
    [
        (1, True, ["dino"]),
        (FEW, True, ["dino", "patchcore"]),
        (FEW + 1, True, ["patchcore", "dino"]),  # published figures are of few images
        (4, False, ["patchcore"]),
    ],
)
def test_what_needs_weights_comes_first_of_few_images_where_they_are(images, here, names):
    steps, found = {1: ["dino"], 2: ["patchcore"]}, frozenset(["dino"] if here else [])
    choice = choose(steps, images, NO_GATES, {}, frozenset(), {"dino": "vit"}, found)
    assert list(choice["algorithms"]) == names
    said = " ".join(explain(choice))
    assert ("weights of vit are at hand" in said) == here
    assert ("dino is left out: there are no weights of vit on this machine" in said) != here
    assert ("missing" in choice) != here


def test_a_budget_takes_the_cheap_ones_and_keeps_their_order():
    for seed in range(200):
        random = np.random.default_rng(seed)
        names = [f"a{number}" for number in range(random.integers(1, 9))]
        seconds = {name: float(random.integers(1, 400)) for name in names}
        budget = float(random.uniform(0.1, 12))
        choice = {"images": 9, "algorithms": dict.fromkeys(names, ""), "left_out": {}}
        found = within(choice, budget, {"seconds": seconds, "on": "cpu, 2 threads"})
        kept = list(found["algorithms"])
        assert sorted([*kept, *found["beyond"]]) == names and kept == sorted(kept)
        taken = sum(seconds[name] for name in kept)
        assert kept and (taken <= 60 * budget or len(kept) == 1)
        left = [seconds[name] for name in found["beyond"]]
        assert max(map(seconds.get, kept)) <= min([*left, np.inf])
        assert not left or taken + min(left) > 60 * budget  # no more would have gone in
        more = within(choice, budget * random.uniform(1, 3), found["estimate"])
        assert set(kept) <= set(more["algorithms"])
        said = " ".join(explain(found))
        assert all(said.count(f"{name} is left out: about") == 1 for name in found["beyond"])


def test_what_a_budget_leaves_out_is_said_in_plain_words():
    choice = {"images": 20, "algorithms": {"padim": "why", "simplenet": ""}, "left_out": {}}
    known = {"seconds": {"padim": 12.3, "simplenet": 840.0}, "on": "cpu, 2 threads"}
    assert summary(within(choice, 10.0, known)) == [
        "algorithms, chosen for 20 good images: padim; their fits take about 12 s",
        "simplenet is left out: about 14 min on cpu, 2 threads, and the budget is 10 min, of which "
        "the others take about 12 s; raise line.budget or name it",
    ]
    assert "padim: why; about 12 s" in explain(within(choice, 10.0, known))


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "params.yaml").write_text(
        "defaults: {algorithms: [padim]}\nauto: {2: [patchcore], 4: [padim]}\n"
    )
    (tmp_path / "data" / "cap" / "images" / "train" / "good").mkdir(parents=True)
    (tmp_path / "data" / "cap" / "product.yaml").write_text(
        "algorithms: auto\ngates: {ms_per_image: 50}\n"
    )
    return Workspace(tmp_path)


def images(workspace, count):
    for number in range(count):
        (workspace.images("cap") / "train" / "good" / f"{number}.png").touch()


def names(workspace):
    sync(workspace)
    return list(read_product(workspace.root, "cap").algorithms)


def test_a_product_grows_with_its_images(workspace):
    assert names(workspace) == []
    images(workspace, 3)
    assert names(workspace) == ["patchcore"]
    images(workspace, 4)
    assert names(workspace) == ["patchcore", "padim"]
    assert "fit-padim" in (workspace.product("cap") / "dvc.yaml").read_text()
    assert sync(workspace) == []


def test_what_needs_imagenet_is_left_out_where_it_is_out_of_reach(workspace, monkeypatch):
    images(workspace, 4)
    params = workspace.root / "params.yaml"
    params.write_text(params.read_text() + "algorithms: {padim: {weights: auto}}\n")
    gone = "tasks.build.choose_algorithms.lacks_imagenet"
    monkeypatch.setattr(gone, lambda backbone: True)
    assert names(workspace) == ["padim"]  # which can do with the backbone in the box
    said = "patchcore is left out: there are no weights of wide_resnet50_2 on this machine"
    assert any(line.startswith(said) for line in explain(choice_of(workspace.product("cap"))))
    assert in_the_box(workspace, "cap", ["padim"]) == {"wide_resnet50_2": ["padim"]}
    monkeypatch.setattr(gone, lambda backbone: False)
    assert names(workspace) == ["patchcore", "padim"]
    monkeypatch.setattr(gone, lambda backbone: True)
    assert names(workspace) == ["patchcore", "padim"]  # a choice that was made stays


def test_what_learns_from_a_teacher_waits_until_one_is_named(workspace, monkeypatch):
    monkeypatch.setattr("tasks.build.choose_algorithms.lacks_imagenet", lambda backbone: False)
    images(workspace, 3)
    params = workspace.root / "params.yaml"
    params.write_text("auto: {2: [patchcore, efficientad]}\nline: {budget: null}\n")
    assert names(workspace) == ["patchcore"]
    said = "efficientad is left out: it has no teacher; `inspectline distil` makes one"
    assert any(line.startswith(said) for line in summary(choice_of(workspace.product("cap"))))
    (workspace.root / "small.safetensors").touch()
    params.write_text(
        params.read_text() + "algorithms: {efficientad: {teacher: small.safetensors}}\n"
    )
    assert names(workspace) == ["patchcore", "efficientad"]
    assert "left out" not in " ".join(summary(choice_of(workspace.product("cap"))))


def test_a_clone_without_the_images_reads_the_same(workspace):
    images(workspace, 4)
    before = names(workspace)
    (workspace.images("cap")).rename(workspace.root / "elsewhere")
    assert names(workspace) == before


def test_weights_decide_and_a_clone_without_them_reads_the_same(workspace, monkeypatch):
    folder = workspace.root / "weights"
    folder.mkdir()
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(folder))
    (workspace.root / "params.yaml").write_text(
        "auto: {1: [anomalydino], 2: [patchcore]}\n"
        "algorithms: {anomalydino: {backbone: vit_base_patch14_dinov2.lvd142m}}\n"
    )
    images(workspace, 3)
    assert names(workspace) == ["patchcore"]
    assert choice_of(workspace.product("cap"))["missing"] == {
        "anomalydino": "vit_base_patch14_dinov2.lvd142m"
    }
    (folder / "dinov2_vits14_pretrain.pth").touch()  # of another one
    assert names(workspace) == ["patchcore"]
    (folder / "dinov2_vitb14_pretrain.pth").touch()
    assert names(workspace) == ["anomalydino", "patchcore"]
    assert "missing" not in choice_of(workspace.product("cap"))
    monkeypatch.delenv("INSPECTLINE_WEIGHTS")
    assert names(workspace) == ["anomalydino", "patchcore"]
    (workspace.root / "params.yaml").write_text(
        "auto: {1: [anomalydino], 2: [patchcore]}\nalgorithms: {anomalydino: {weights: random}}\n"
    )
    (workspace.product("cap") / "auto.yaml").unlink()
    assert names(workspace) == ["patchcore"]


def test_what_was_too_slow_stays_out_when_its_cell_is_gone(workspace):
    images(workspace, 4)
    cell = workspace.evaluation("cap", "padim")
    cell.mkdir(parents=True)
    (cell / "metrics.json").write_text(json.dumps({"ms_per_image": 70.5, "ms_p95": None}))
    assert names(workspace) == ["patchcore"]
    (cell / "metrics.json").unlink()
    assert names(workspace) == ["patchcore"]
    assert choice_of(workspace.product("cap"))["left_out"] == {"padim": {"ms_per_image": 70.5}}
    (workspace.product("cap") / "product.yaml").write_text("algorithms: auto\n")
    assert names(workspace) == ["patchcore", "padim"]


def test_a_product_with_few_images_is_taught_and_teaches_nothing():
    products = ["cap", "new", "plate"]
    assert teachers({}, products) == products  # chosen by hand: grown
    assert teachers({"new": FEW}, products) == ["cap", "plate"]
    assert teachers({"new": FEW + 1}, products) == products
    assert (
        teachers({"new": 3, "plate": 3}, products) == products
    )  # one alone would teach too little


def test_a_new_product_makes_nothing_that_is_shared_stale(workspace):
    for name in ("plate", "weave"):
        (workspace.root / "data" / name).mkdir()
        (workspace.product(name) / "product.yaml").write_text("algorithms: [regad]\n")
    (workspace.root / "params.yaml").write_text("auto: {2: [patchcore, regad]}\n")
    images(workspace, 3)
    assert names(workspace) == ["patchcore", "regad"]
    assert trained_on(workspace.root, "regad", workspace.products) == ["plate", "weave"]
    recipe = workspace.recipe("regad").read_text()
    assert "cap" not in recipe
    images(workspace, FEW + 1)
    sync(workspace)
    assert trained_on(workspace.root, "regad", workspace.products) == ["cap", "plate", "weave"]


def test_what_is_shared_is_learned_at_the_size_of_its_preset(workspace):
    (workspace.root / "data" / "plate").mkdir()
    plate = workspace.product("plate") / "product.yaml"
    plate.write_text("image: {size: 64}\nalgorithms: [regad]\n")
    params = workspace.root / "params.yaml"
    images(workspace, 3)
    params.write_text("auto: {2: [patchcore, regad]}\n")
    assert names(workspace) == ["patchcore"]
    params.write_text("auto: {2: [patchcore, regad]}\nalgorithms: {regad: {image: {size: 64}}}\n")
    assert names(workspace) == ["patchcore", "regad"]


@pytest.fixture
def budgeted(workspace):
    """A product for which both fits are estimated to take some seconds."""

    def asked(minutes, **own):
        params = {"auto": {2: ["patchcore", "padim"], 3: ["simplenet"]}}
        params["algorithms"] = {"simplenet": {"epochs": 100_000}}  # hours
        params["line"] = {} if minutes == "default" else {"budget": minutes}
        (workspace.root / "params.yaml").write_text(yaml.safe_dump(params))
        spec = {"algorithms": "auto"} | own
        (workspace.product("cap") / "product.yaml").write_text(yaml.safe_dump(spec))
        return names(workspace)

    images(workspace, 4)
    return asked


def test_a_budget_changes_the_set_of_cells_and_no_other_recipe(workspace, budgeted):
    assert budgeted(None) == ["patchcore", "padim", "simplenet"]
    assert "estimate" not in choice_of(workspace.product("cap"))
    recipes = [yaml.safe_load(workspace.product_recipe("cap").read_text())["fit"]]
    assert budgeted("default") == ["patchcore", "padim"]
    assert "simplenet is left out: about" in " ".join(summary(choice_of(workspace.product("cap"))))
    recipes.append(yaml.safe_load(workspace.product_recipe("cap").read_text())["fit"])
    assert all(recipes[0][name] == recipe for name, recipe in recipes[1].items())
    assert "simplenet" not in (workspace.product("cap") / "dvc.yaml").read_text()
    assert budgeted(10, budget=None) == budgeted(600) == ["patchcore", "padim", "simplenet"]
    assert budgeted(600, budget=0.001) == ["patchcore"]
    assert budgeted(0.001, budget="line") == ["patchcore"]


def test_a_faster_machine_and_a_clone_read_the_same(workspace, budgeted, monkeypatch):
    before = budgeted("default")

    def faster(_, backbones, size):
        return "a large machine", dict.fromkeys(backbones, 1e-9)

    monkeypatch.setattr(estimate, "measured", faster)
    assert sync(workspace) == [] and names(workspace) == before
    (workspace.images("cap")).rename(workspace.root / "elsewhere")
    assert sync(workspace) == [] and names(workspace) == before
    (workspace.product("cap") / "auto.yaml").unlink()  # so it is chosen again
    workspace.images("cap").mkdir()
    (workspace.root / "elsewhere" / "train").rename(workspace.images("cap") / "train")
    assert names(workspace) == [*before, "simplenet"]


def test_a_lone_algorithm_needs_no_estimate(workspace, budgeted, monkeypatch):
    monkeypatch.delattr(estimate, "measured")
    params = "auto: {2: [padim]}\n"
    (workspace.root / "params.yaml").write_text(params)
    assert names(workspace) == ["padim"]


def test_a_fresh_workspace_is_automatic_with_quick_presets(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS.read_text())
    (tmp_path / "data" / "cap").mkdir(parents=True)
    (tmp_path / "data" / "cap" / "product.yaml").touch()  # as `ingest` makes it
    assert is_automatic(tmp_path, "cap")
    params = default_params()
    quick = params.presets["quick"]
    trained = {name for name in quick if "epochs" in config_fields(name)}
    assert all(params.algorithms[name]["preset"] == "quick" for name in trained)
    automatic = {name for names in params.auto.values() for name in names}
    assert automatic - {*quick} == {"efficientad"}  # and that only with a teacher
    assert params.line.budget == 10
