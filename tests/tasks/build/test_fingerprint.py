import shutil

import pytest

from tasks.build import fingerprint as module
from tasks.build.fingerprint import closure, fingerprint
from tasks.workspace.home import CACHE
from tasks.workspace.paths import PACKAGE


@pytest.fixture
def package(tmp_path):
    """A copy of the code that a test may edit."""
    for room in ("ad_models", "tasks"):
        shutil.copytree(
            PACKAGE / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_algorithm_reaches_what_it_imports_and_no_more(package):
    files = {str(path) for path in closure("padim", package=package)}
    assert {"ad_models/algorithms/padim.py", "ad_models/gaussian.py", "ad_models/maps.py"} <= files
    assert "ad_models/coreset.py" not in files
    assert "ad_models/weights.py" in files  # through features.py


def test_a_comment_changes_nothing_and_a_value_does(package):
    before = fingerprint("padim", package)
    path = package / "ad_models" / "maps.py"
    edit(path, "    if not sigma:", "    # a word more\n    if not sigma:")
    edit(path, '"""Blur maps', '"""Softly blur maps')
    assert fingerprint("padim", package) == before
    edit(path, "4 * sigma", "3 * sigma")
    assert fingerprint("padim", package) != before


def test_a_shared_file_reaches_only_those_that_use_it(package):
    padim, patchcore = fingerprint("padim", package), fingerprint("patchcore", package)
    edit(
        package / "ad_models" / "gaussian.py",
        "total = self.count + len(x)",
        "total = len(x) + self.count",
    )
    assert fingerprint("padim", package) != padim
    assert fingerprint("patchcore", package) == patchcore


def test_one_algorithm_more_changes_no_other(package):
    before = fingerprint("padim", package)
    edit(
        package / "ad_models" / "__init__.py",
        '"padim": "Padim",',
        '"padim": "Padim",\n    "new": "New",',
    )
    assert fingerprint("padim", package) == before


def test_gates_and_reports_are_no_input_of_a_fit(package):
    files = {path.name for path in closure("fit", "evaluate", package=package)}
    assert not files & {"gate.py", "report.py", "store.py", "cells.py", "stages.py"}


def test_what_is_said_to_a_person_changes_nothing(package):
    before = fingerprint("patchcore", package)
    edit(package / "ad_models" / "patches.py", 'run.say(f"{FEATURES}', 'run.say(f"well: {FEATURES}')
    assert fingerprint("patchcore", package) == before


def test_code_is_parsed_once_and_again_where_any_of_it_changed(package, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    asked, reached = [], module.reached
    monkeypatch.setattr(module, "reached", lambda *a: asked.append(a[0]) or reached(*a))
    before = fingerprint("padim", package), closure("padim", package=package)
    assert (fingerprint("padim", package), closure("padim", package=package)) == before
    assert (fingerprint("vae", package) != before[0], asked) == (True, ["padim", "vae"])
    assert closure("padim", package=package) == before[1]  # whatever others have asked for
    edit(package / "ad_models" / "maps.py", "4 * sigma", "3 * sigma")
    assert fingerprint("padim", package) != before[0]
    edit(package / "ad_models" / "maps.py", "3 * sigma", "4 * sigma")
    assert (fingerprint("padim", package), asked) == (before[0], ["padim", "vae", "padim", "padim"])


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"content": 1}', "folder"])
def test_without_a_cache_that_can_be_used_it_is_the_same(damaged, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))
    path = tmp_path / "inspectline" / "fingerprints.json"
    before = fingerprint("padim")
    path.unlink()
    if damaged == "folder":
        path.mkdir()
    else:
        path.write_text(damaged)
    assert fingerprint("padim") == before


def test_what_was_edited_while_it_was_read_is_not_kept(package, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    before, content = fingerprint("vae", package), module._content
    path = package / "ad_models" / "algorithms" / "padim.py"
    text = path.read_text()

    def and_then_edited(package):
        found = content(package)
        path.write_text(text.replace("epsilon: Ridge = 0.01", "epsilon: Ridge = 0.02"))
        return found

    monkeypatch.setattr(module, "_content", and_then_edited)
    assert fingerprint("padim", package)
    monkeypatch.setattr(module, "_content", content)
    edited = fingerprint("padim", package)
    path.write_text(text)
    assert (fingerprint("padim", package) != edited, fingerprint("vae", package)) == (True, before)


@pytest.mark.parametrize(
    "found",
    [[], {"padim": {"files": []}}, {"padim": ["a", "b"]}]
    + [{"padim": {"fingerprint": a, "files": b}} for a, b in ((None, []), ("ab", None), (1, [2]))],
)
def test_what_has_another_form_is_not_believed(found, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))
    path = tmp_path / "inspectline" / "fingerprints.json"
    before = fingerprint("padim")
    kept = module.json.loads(path.read_text())
    path.write_text(module.json.dumps(kept | {"found": found}))
    assert fingerprint("padim") == before
