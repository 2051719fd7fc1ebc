"""What a wheel holds: every file that the code opens, and the marks of a typed package."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import ad_models

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


@pytest.mark.parametrize("package", ["ad_models", "flows", "tasks"])
def test_every_file_that_is_no_code_is_package_data(package):
    folder = ROOT / package
    shipped = {path for glob in SETTINGS["package-data"][package] for path in folder.glob(glob)}
    files = {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {path for path in files if path.suffix != ".py"} == shipped


@pytest.mark.parametrize("package", ["ad_models", "flows", "tasks"])
def test_every_folder_with_code_is_a_package(package):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_public_names_of_ad_models_are_there():
    assert all(hasattr(ad_models, name) for name in ad_models.__all__)


def test_no_folder_of_tests_is_left_out(pytestconfig):
    """pytest passes by some names, such as `build`, without a word."""
    skipped = pytestconfig.getini("norecursedirs")
    folders = [path.parent for path in Path(__file__).parent.rglob("test_*.py")]
    names = {name for folder in folders for name in folder.relative_to(pytestconfig.rootpath).parts}
    assert "build" in names
    assert not [name for name in names if any(fnmatch(name, pattern) for pattern in skipped)]
