"""The README says what is there: it cannot drift unnoticed."""

import re
from pathlib import Path

import click
import yaml

from ad_models import ALGORITHMS
from flows.cli import main
from tasks.reporting.glossary import TERMS
from tasks.spec.read import PARAMS
from tasks.spec.schema import Params

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_algorithm_is_in_the_table():
    assert set(re.findall(r"^\| `(\w+)` \|", section("Algorithms"), re.M)) == set(ALGORITHMS)


def test_every_command_is_documented():
    rows = re.findall(r"^\| (`.*?) \|", section("Your own products"), re.M)
    told = {name for row in rows for name in re.findall(r"`([a-z]+)", row)}
    assert told == set(main.commands)
    for command in main.commands.values():
        assert isinstance(command, click.Command) and command.help


def test_the_glossary_lists_what_the_pages_explain():
    listed = re.findall(r"^- \*\*(.+?)\*\*: (.+)\.$", (ROOT / "docs/glossary.md").read_text(), re.M)
    assert dict(listed) == TERMS and len(TERMS) == 12


def test_every_make_target_is_known():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`?make ([a-z-]+)", README)) <= targets


def test_what_deployment_says_of_options_and_files_is_there():
    text = (ROOT / "docs/deployment.md").read_text()
    serve = {option for one in main.commands["serve"].params for option in one.opts}
    rows = re.findall(r"^\| `(--[a-z-]+)` \| (\S+)", text, re.M)
    assert len(rows) == 5 and {name for name, _ in rows} <= serve
    defaults = {option: one.default for one in main.commands["serve"].params for option in one.opts}
    assert all(float(said) == defaults[name] for name, said in rows)
    assert "docs/deployment.md" in README and "SECURITY.md" in README
    assert (ROOT / "SECURITY.md").is_file()


def test_files_named_in_the_readme_exist():
    for path in re.findall(r"`((?:ad_models|tasks|flows|tests|data)/[\w/]+(?:\.py)?)`", README):
        assert (ROOT / path).exists(), path


def test_the_params_that_ship_are_those_of_this_workspace():
    assert PARAMS.read_text() == (ROOT / "params.yaml").read_text(), "run `make params`"


def test_params_yaml_shows_every_key_with_its_real_default():
    shown = yaml.safe_load((ROOT / "params.yaml").read_text())
    defaults = Params().model_dump(mode="json")
    for name, keys in shown["defaults"].items():
        if isinstance(keys, dict) and name != "validation":
            known = dict(defaults["defaults"][name])
            assert set(keys) <= set(known)
            for key, value in keys.items():
                expected = known[key]
                assert expected in (value, [value, value]), f"{name}.{key}"
    assert shown["line"] == defaults["line"]
