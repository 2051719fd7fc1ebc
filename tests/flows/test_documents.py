"""What the line really writes is what its schemas say, key for key."""

import json

import pytest

from tasks.documents.base import Part
from tasks.documents.golden import GOLDEN
from tasks.documents.schemas import DOCUMENTS, schema
from tasks.store.champion import champion
from tasks.store.golden import open_golden
from tasks.store.opening import store_of


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    """The text of one document of each name, as the line left it."""
    from click.testing import CliRunner

    from flows.cli import main

    store, log = store_of(trained), tmp_path_factory.mktemp("log")
    pointer = champion(store, "plate")
    cell = trained.evaluation("plate", pointer.algorithm)
    image = next(trained.images("plate").glob("test/good/*.png"))
    words = ["--workspace", str(trained.root), "predict", "plate", str(image), "--log", str(log)]
    assert CliRunner().invoke(main, words).exit_code == 0
    more = [str(image.parent), "--once", "--settle", "0", "--json", "--outbox", str(log / "box")]
    inspected = CliRunner().invoke(main, ["-w", str(trained.root), "inspect", "plate", *more])
    told = inspected.stdout.splitlines()[0]
    memo = json.loads((trained.scratch / "decisions" / "plate.json").read_text())
    return {
        "metrics": (cell / "metrics.json").read_text(),
        "threshold": (cell / "threshold.json").read_text(),
        "decision": json.dumps(memo["decision"]),
        "champion": store.get("champions/plate.json"),
        "manifest": store.get(f"releases/plate/{pointer.release}/manifest.json"),
        "golden": open_golden(store, "plate", pointer.release).read(GOLDEN).decode(),
        "result": told,
        "model_card": store.get(f"releases/plate/{pointer.release}/model_card.json"),
        "prediction": next(log.rglob("*.jsonl")).read_text(),
    }


def unknown(part):
    """Keys of a document and of its parts that no model names."""
    found = list(part.model_extra or {})
    for value in dict(part).values():
        values = value if isinstance(value, list) else [value]
        values = value.values() if isinstance(value, dict) else values
        found += [key for one in values if isinstance(one, Part) for key in unknown(one)]
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_knows_every_key_that_the_line_writes(name, written):
    body = json.loads(written[name])
    found = DOCUMENTS[name].parse(written[name], name)
    assert unknown(found) == [] and body["version"] == 1
    assert found.dump() == body  # nothing is lost between two machines
    assert set(schema(name).get("required", ())) <= set(body)


def test_a_cell_tells_every_figure(written):
    for name in ("metrics", "threshold"):
        assert set(json.loads(written[name])) == set(schema(name)["properties"])


def test_a_release_keeps_the_documents_of_its_evaluation(trained, written):
    store = store_of(trained)
    folder = f"releases/plate/{champion(store, 'plate').release}/"
    for name in ("metrics", "threshold"):
        assert store.get(f"{folder}{name}.json").decode() == written[name]
