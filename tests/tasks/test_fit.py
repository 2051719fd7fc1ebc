"""A fit of one cell."""

import pytest
import yaml

from tasks.build.graph import recipes
from tasks.fit import fit
from tasks.workspace.paths import CARD
from tests.tasks.test_pretrain import Silent, card_of, products_in

PADIM = {"backbone": "drawnet", "dims": 4}


@pytest.fixture
def workspace(tmp_path):
    made = products_in(tmp_path)
    content = {
        "defaults": {"algorithms": ["padim"], "image": {"size": 32}},
        "algorithms": {"padim": PADIM},
        "line": {"device": "cpu"},
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    recipes(made)
    return made


def test_specs_that_are_edited_during_a_fit_do_not_lose_it(workspace):
    spec = workspace.product("nut") / "product.yaml"

    class Editing(Silent):
        def report(self, *_, **__):
            spec.write_text("imag")  # half a word, of somebody who is typing

    folder = fit(workspace, "nut", "padim", Editing())
    assert spec.read_text() == "imag"
    assert (folder / CARD).is_file() and card_of(folder)["preset"].startswith("paper, ")
