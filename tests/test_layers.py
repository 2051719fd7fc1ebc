"""Who may import whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "ad_models": {"tasks", "flows", "prefect", "dvc", "great_expectations", "boto3", "click"},
    "tasks": {"flows", "prefect", "click"},
}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", FORBIDDEN)
def test_rooms_look_downward_only(room):
    for path in (ROOT / room).rglob("*.py"):
        assert not imported(path) & FORBIDDEN[room], path


def test_algorithms_do_not_import_each_other():
    for path in (ROOT / "ad_models" / "algorithms").glob("*.py"):
        assert "ad_models.algorithms" not in path.read_text(), path


def test_nothing_is_unpickled():
    for room in ("ad_models", "tasks", "flows"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text()
            assert "pickle" not in imported(path), path
            assert "weights_only=False" not in text, path
            assert text.count("torch.load(") == text.count("weights_only=True"), path


def test_the_top_of_tasks_holds_the_steps_alone():
    """A step is one file; what is no step lies in a room."""
    assert len(list((ROOT / "tasks").glob("*.py"))) <= 16
