"""README and the pages say what is there: they cannot drift unnoticed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from ad_models import ALGORITHMS
from flows.cli import main
from tasks.reporting.glossary import TERMS
from tasks.spec.read import PARAMS
from tasks.spec.schema import Notify, Params, Product, Workers

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.name: path.read_text() for path in sorted(DOCS.glob("*.md"))}
README = (ROOT / "README.md").read_text()
TEXTS = {"README.md": README} | {f"docs/{name}": text for name, text in PAGES.items()}
SECTIONS = set(Product.model_fields) | {"line"}
SPEC = rf"({'|'.join(SECTIONS - {'line'})}): "  # how a piece of a spec begins
ENVIRONMENT = r"\bINSPECTLINE_[A-Z]+\b"
OTHERS_OPTIONS = {"--keep-going", "--temp", "--queue", "--sparse"}  # of dvc, tar


def code_of(text: str) -> list[str]:
    """Every inline piece of code, and every line of a block of code, of a page."""
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.M | re.S)
    rest = re.sub(r"^```.*?\n.*?^```", "", text, flags=re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [*re.findall(r"`([^`\n]+)`", rest), *lines]


def options(*commands: str) -> set[str]:
    named = [main.commands[name] for name in commands or main.commands]
    below = [one for group in named for one in getattr(group, "commands", {}).values()]
    return {
        option
        for command in (main, *named, *below)
        for one in command.params
        for option in (*one.opts, *one.secondary_opts)
        if option.startswith("-")
    } | {"--help", "-h", "--version"}


def anchors(text: str) -> set[str]:
    """What a link may name of a page: its headings as MkDocs and GitHub turn them."""
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()) for title in titles]
    return {re.sub(r"\s+", "-", title.strip()) for title in plain}


def keys_of(section: type[BaseModel]) -> Iterator[str]:
    """The names of all keys of a section of the schema, and of those below it."""
    for name, field in section.model_fields.items():
        yield name
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys_of(kind)


def test_every_algorithm_is_in_the_table():
    told = re.findall(r"^\| `(\w+)` \|", PAGES["algorithms.md"], re.M)
    assert sorted(told) == sorted(ALGORITHMS)
    assert f"{len(ALGORITHMS)} algorithms" in README


def test_every_command_is_documented():
    rows = re.findall(r"^\| (`.*?) \|", PAGES["commands.md"], re.M)
    told = {name for row in rows for name in re.findall(r"`([a-z]+)", row)}
    assert told == set(main.commands)
    groups = [one for one in main.commands.values() if isinstance(one, click.Group)]
    for command in (*main.commands.values(), *(c for g in groups for c in g.commands.values())):
        assert isinstance(command, click.Command) and command.help


def test_every_option_has_a_text_which_the_page_of_commands_shows():
    assert "::: mkdocs-click" in PAGES["commands.md"]
    for name, command in main.commands.items():
        below = command.commands.values() if isinstance(command, click.Group) else ()
        for option in (one for each in (command, *below) for one in each.params):
            if isinstance(option, click.Option):
                assert option.help, f"{name} {option.opts}"


@pytest.mark.parametrize("page", TEXTS)
def test_commands_and_options_in_the_text_exist(page):
    for piece in (line.split(" # ")[0] for line in code_of(TEXTS[page])):
        said = re.match(
            r"(?:sudo -u line )?inspectline (?:(?:--workspace|-w) \S+ )?([a-z]+)", piece
        )
        if said:
            assert said[1] in main.commands, piece
            assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", piece)) <= options(said[1]), piece
        elif bare := re.match(r"(--[a-z][a-z-]*)(?: [A-Z./]+)*$", piece):
            assert bare[1] in options() | OTHERS_OPTIONS, piece


@pytest.mark.parametrize("page", TEXTS)
def test_keys_in_the_text_exist(page):
    for piece in code_of(TEXTS[page]):
        if dotted := re.fullmatch(r"([a-z]+)\.([a-z_0-9]+)(\.[a-z_0-9]+)?", piece):
            section, key, deeper = dotted.groups()
            if section in SECTIONS - {"algorithms"} and key not in ("yaml", "json"):
                known = (
                    Params.model_fields["line"]
                    if section == "line"
                    else Product.model_fields[section]
                )
                assert key in set(keys_of(known.annotation)), piece
                assert not deeper or deeper[1:] in set(keys_of(known.annotation)), piece
        elif re.match(SPEC, piece) and "..." not in piece:
            Product.model_validate(yaml.safe_load(piece))


def test_every_key_is_in_the_params_that_the_page_of_the_spec_shows():
    assert '--8<-- "params.yaml"' in PAGES["spec.md"]
    shown = (ROOT / "params.yaml").read_text() + PAGES["spec.md"]
    for section in (Product, Params.model_fields["line"].annotation, Workers, Notify):
        for key in keys_of(section):
            assert re.search(rf"\b{key}:|`{key}`", shown), key


def test_environment_variables_are_those_of_the_code():
    code = "".join(
        path.read_text()
        for package in ("ad_models", "tasks", "flows")
        for path in (ROOT / package).rglob("*.py")
    )
    assert set(re.findall(ENVIRONMENT, PAGES["environment.md"])) == set(
        re.findall(ENVIRONMENT, code)
    )
    assert set(re.findall(ENVIRONMENT, "".join(TEXTS.values()))) <= set(
        re.findall(ENVIRONMENT, code)
    )


def test_errors_on_their_page_are_those_of_the_code():
    code = "".join(
        path.read_text()
        for package in ("ad_models", "tasks", "flows")
        for path in (ROOT / package).rglob("*.py")
    )
    quoted = re.findall(r'^\| "(.+?)" \|', PAGES["errors.md"], re.M)
    assert len(quoted) > 10
    assert [text for text in quoted if text not in code] == []


@pytest.mark.parametrize("page", [*TEXTS, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text()), target


def test_every_page_has_its_place_and_the_site_builds(tmp_path):
    listed = re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(PAGES), "give a new page its line below nav in mkdocs.yml"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, env=quiet, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    commands = (tmp_path / "commands.html").read_text()
    assert all(f">inspectline {name}<" in commands for name in main.commands)
    assert "overkill: 0.01" in re.sub("<.*?>", "", (tmp_path / "spec.html").read_text())


def test_the_glossary_lists_what_the_pages_explain():
    listed = re.findall(r"^- \*\*(.+?)\*\*: (.+)\.$", PAGES["glossary.md"], re.M)
    assert dict(listed) == TERMS and len(TERMS) == 12


def test_every_make_target_is_known():
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", "\n".join(TEXTS.values()), re.M)) <= targets


def test_what_deployment_says_of_options_and_files_is_there():
    text = PAGES["deployment.md"]
    serve = {option for one in main.commands["serve"].params for option in one.opts}
    rows = re.findall(r"^\| `(--[a-z-]+)` \| (\S+)", text, re.M)
    assert len(rows) == 5 and {name for name, _ in rows} <= serve
    defaults = {option: one.default for one in main.commands["serve"].params for option in one.opts}
    assert all(float(said) == defaults[name] for name, said in rows)


@pytest.mark.parametrize("page", TEXTS)
def test_files_named_in_the_text_exist(page):
    for path in re.findall(
        r"`((?:ad_models|tasks|flows|tests|docs)/[\w/]+(?:\.py)?)`", TEXTS[page]
    ):
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


def test_pictures_are_shown_and_small():
    pictures = sorted((DOCS / "pictures").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) < 1_000_000
    shown = set(re.findall(r"\]\((?:docs/)?pictures/([\w.]+)", "".join(TEXTS.values())))
    assert shown == {picture.name for picture in pictures}
    made = (DOCS / "make_pictures.py").read_text()
    assert all(f'"{picture.name}"' in made for picture in pictures)
