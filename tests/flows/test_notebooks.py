"""The notebooks of the docs run as they are, in a process of their own, and hold no outputs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "examples").glob("*.ipynb"))


def code(notebook: Path) -> str:
    """What its cells run, one after the other."""
    cells = json.loads(notebook.read_text())["cells"]
    return "\n\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "code")


def run(notebook: Path, folder: Path) -> str:
    """What it prints, begun in this folder."""
    ended = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code(notebook)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_outputs_and_is_linked(notebook):
    for cell in json.loads(notebook.read_text())["cells"]:
        assert cell["cell_type"] != "code" or (cell["outputs"], cell["execution_count"]) == (
            [],
            None,
        )
        assert max(map(len, cell["source"])) <= 120
    pages = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    assert f"examples/{notebook.name}" in pages


def test_the_first_model_finds_what_was_painted(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    said = run(ROOT / "docs/examples/first_model.ipynb", tmp_path).splitlines()
    assert said[1:] == ["0 good", "1 good", "2 defect", "3 defect"]
    assert (tmp_path / "scratch.png").is_file()


def test_the_results_of_a_workspace_are_read_and_nothing_is_written(trained, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = {path: path.stat().st_mtime_ns for path in (trained.root / "data").rglob("*")}
    said = run(ROOT / "docs/examples/read_results.ipynb", trained.root)
    assert re.search(r"inspectline threshold cap --overkill 0\.02", said)
    assert before == {path: path.stat().st_mtime_ns for path in (trained.root / "data").rglob("*")}
