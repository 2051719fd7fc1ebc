"""A mistake in the spec of one product stops no other."""

import pytest
import yaml

from flows.new import begin_product
from tasks.build.graph import main, sync
from tasks.products.rename import rename_product
from tasks.products.set_parameters import set_parameters
from tasks.products.set_threshold import set_threshold
from tasks.spec.read import (
    forget_mistakes,
    is_automatic,
    kept_spec,
    kept_specs,
    mistake_in,
    mistakes_met,
    read_product,
)
from tasks.workspace.errors import SpecError
from tasks.workspace.paths import Workspace

GOOD = {"algorithms": {"padim": {"dims": 30}}, "image": {"size": 64}}


@pytest.fixture
def two(tmp_path):
    """A workspace with two products, after `sync`."""
    forget_mistakes()
    workspace = Workspace(tmp_path)
    (tmp_path / ".dvc").mkdir()
    write_params(workspace, {"defaults": {"algorithms": ["patchcore"]}})
    for product in ("cap", "plate"):
        workspace.product(product).mkdir(parents=True)
        write(workspace, product, GOOD)
    sync(workspace)
    return workspace


def write(workspace, product, content):
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (workspace.product(product) / "product.yaml").write_text(text)


def write_params(workspace, content):
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(content))


def made(workspace):
    """All that `sync` writes, by path."""
    found = [*workspace.root.glob("dvc.yaml"), *workspace.root.glob("data/*/[dr]*.yaml")]
    return {path: path.read_text() for path in found}


MISTAKES = {
    "a typo": (GOOD | {"gats": {}}, "did you mean 'gates'"),
    "no YAML": ("algorithms: [padim\n", "no valid YAML"),
    "no preset of that name": ({"algorithms": {"padim": {"preset": "quik"}}}, "'quik'"),
    "a teacher that is not there": ({"algorithms": {"efficientad": {"teacher": "no"}}}, "no file"),
    "a list": ("[1, 2]\n", "must hold keys and values"),
}


@pytest.mark.parametrize(("content", "words"), MISTAKES.values(), ids=list(MISTAKES))
def test_what_a_spec_said_before_stands_in_for_one_with_a_mistake(two, content, words):
    before = made(two)
    write(two, "cap", content)
    write(two, "plate", GOOD | {"image": {"size": 96}})
    sync(two)
    assert words in mistake_in(two.root, "cap") and mistake_in(two.root, "plate") is None
    assert mistakes_met() == [mistake_in(two.root, "cap")]
    changed = {path.parent.name for path, text in made(two).items() if text != before[path]}
    assert changed == {"plate"}
    assert read_product(two.root, "cap").image.seen == (64, 64)
    assert not is_automatic(two.root, "cap")

    # who asks for that product is told
    with pytest.raises(SpecError, match=words):
        sync(two, ["cap"])
    sync(two, ["plate"])

    write(two, "cap", GOOD | {"image": {"size": 32}})
    assert read_product(two.root, "cap").image.seen == (32, 32)
    assert mistakes_met() == []
    sync(two, ["cap"])
    assert yaml.safe_load(kept_spec(two.root, "cap").read_text())["image"] == {"size": 32}


def test_dvc_meets_the_mistake(two, monkeypatch):
    monkeypatch.chdir(two.root)
    main()
    write(two, "cap", GOOD | {"gats": {}})
    with pytest.raises(SystemExit, match="did you mean 'gates'"):
        main()


def test_the_first_spec_of_a_product_must_be_right(two):
    two.product("lid").mkdir()
    write(two, "lid", {"gats": {}})
    with pytest.raises(SpecError, match=r"lid.*did you mean 'gates'"):
        sync(two)
    with pytest.raises(SpecError, match=r"lid.*did you mean 'gates'"):
        read_product(two.root, "lid")


def test_a_mistake_for_all_products_stops_all(two):
    write_params(two, {"defaults": {"imag": {}}})
    with pytest.raises(SpecError, match=r"params\.yaml.*did you mean 'image'"):
        sync(two)


def test_a_spec_that_is_wrong_though_nobody_changed_it_stops_no_other(two):
    """What it named is gone: its stages stay as they are, for what it said before is as wrong."""
    write(two, "cap", {"algorithms": {"patchcore": {"preset": "mine"}}})
    presets = {"presets": {"mine": {"patchcore": {"ratio": 0.1}}}}
    write_params(two, presets)
    sync(two)
    before = made(two)
    write_params(two, {})
    write(two, "plate", GOOD | {"image": {"size": 96}})
    sync(two)
    assert mistakes_met() == [
        f"{two.product('cap')}/product.yaml: patchcore asks for the preset 'mine'; known: paper"
    ]
    changed = {path.parent.name for path, text in made(two).items() if text != before[path]}
    assert changed == {"plate"}
    write(two, "cap", {"algorithms": {"patchcore": {"preset": "mine"}}, "gats": {}})
    with pytest.raises(SpecError, match="did you mean 'gates'"):
        sync(two, ["cap"])
    write(two, "cap", {"algorithms": {"patchcore": {"preset": "mine"}}})
    sync(two)
    assert len(mistakes_met()) == 1
    write_params(two, presets)  # mended in the same process
    sync(two, ["cap"])
    assert mistakes_met() == []


def test_what_would_write_by_what_a_spec_said_before_refuses(two):
    text = "algorithms:\n- padimm  # precious\n"
    write(two, "cap", text)
    sync(two)
    calls = [
        lambda: set_parameters(two, "cap", "padim", {"dims": 20}, by="a", reason="b"),
        lambda: set_threshold(two, "cap", {"value": 3.0}, by="a", reason="b"),
        lambda: rename_product(two, "cap", "lid"),
        lambda: begin_product(two, "lid", "nowhere", like="cap"),
    ]
    for call in calls:
        with pytest.raises(SpecError, match=r"cap/product\.yaml.*did you mean 'padim'"):
            call()
    assert (two.product("cap") / "product.yaml").read_text() == text
    assert not two.product("lid").exists()


def test_what_a_product_said_that_is_gone_stands_in_for_no_other(two):
    for path in two.product("cap").iterdir():
        path.unlink()
    sync(two)
    assert [path.stem for path in kept_specs(two.root)] == ["plate"]
    write(two, "cap", {"gats": {}})
    with pytest.raises(SpecError, match="did you mean 'gates'"):
        sync(two)
