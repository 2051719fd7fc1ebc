"""What was changed by hand and waits for a run, told from the specs and DVC's record."""

import hashlib

import pytest
import yaml

from ad_models import ALGORITHMS
from tasks.build.pending import SHOWN, pending, stamp
from tasks.spec.recipe import product_recipe
from tasks.workspace.paths import Workspace
from tests.tasks import workspaces


@pytest.fixture
def made(tmp_path) -> Workspace:
    """A product whose last run was made from its present spec."""
    made = workspaces.workspace(tmp_path)
    workspaces.product(made, algorithms={"padim": {}, "patchcore": {}})
    record(made)
    return made


def record(made: Workspace) -> None:
    """What DVC writes after a run, as far as it is read."""
    folder, now = made.product("tile"), product_recipe(made.root, "tile")
    (folder / "images.dvc").write_text("outs:\n- {md5: abc.dir, path: images}\n")
    deps: list[dict] = [{"path": "images", "md5": "abc.dir", "nfiles": 9}]
    if (file := made.corrections("tile")).is_file():
        found = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        deps.append({"path": file.name, "md5": found})
    stages = {"validate": {"deps": deps, "params": params("validate", now["validate"])}}
    for name, recipe in now["fit"].items():
        stages[f"fit-{name}"] = {"params": params(f"fit.{name}", recipe)}
        stages[f"evaluate-{name}"] = {"params": params("evaluate", now["evaluate"])}
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))


def params(key: str, value: object) -> dict:
    return {"recipe.yaml": {key: value}}


def change(made: Workspace, **spec) -> None:
    workspaces.product(made, algorithms={"padim": {}, "patchcore": {}}, **spec)


def test_after_a_run_nothing_waits(made):
    assert pending(made) == {}


def test_a_product_without_a_run_says_so(made):
    (made.product("tile") / "dvc.lock").unlink()
    assert pending(made) == {"tile": ["no run yet"]}


def test_a_changed_threshold_is_named_once_with_both_values(made):
    change(made, threshold={"overkill": 0.07})
    assert pending(made) == {"tile": ["threshold.overkill: 0.01, now 0.07"]}


def test_a_changed_size_is_named_for_each_fit(made):
    change(made, image={"size": [128, 160]})
    lines = pending(made)["tile"]
    assert [line.split(":")[0] for line in lines] == ["padim", "patchcore"]
    assert all("image.size" in line and "[128, 160]" in line for line in lines)


def test_a_parameter_and_a_new_algorithm_are_named(made):
    workspaces.product(
        made, algorithms={"padim": {"dims": 33}, "patchcore": {}, "semi_orthogonal": {}}
    )
    first, second = pending(made)["tile"]
    assert first.startswith("padim: parameters.dims: ") and first.endswith("now 33")
    assert second == "semi_orthogonal is not fitted yet"


def test_corrections_and_images_are_named(made):
    made.corrections("tile").write_text("test/good/0.png: {label: drop, by: me, why: dust}\n")
    track = made.product("tile") / "images.dvc"
    track.write_text("outs:\n- {md5: new.dir, path: images}\n")
    assert pending(made) == {"tile": ["the images changed", "corrections.yaml changed"]}
    track.write_text("outs:\n- {md5: new.dir, nfiles: 12, path: images}\n")
    assert pending(made)["tile"][0] == "the images changed: 9 files, now 12"
    record(made)
    assert pending(made) == {}


def test_a_spec_that_cannot_be_read_says_why(made):
    (made.product("tile") / "product.yaml").write_text("thresholds: {}")
    assert "thresholds" in pending(made)["tile"][0]


def test_a_long_list_is_cut(made):
    names = sorted(ALGORITHMS)
    workspaces.product(made, algorithms={name: {} for name in names if name != "regad"})
    lines = pending(made)["tile"]
    assert len(lines) == SHOWN + 1 and lines[-1].startswith("and ")


def test_the_stamp_changes_with_a_file_that_is_read(made):
    before = stamp(made)
    made.corrections("tile").write_text("{}\n")
    assert stamp(made) != before
