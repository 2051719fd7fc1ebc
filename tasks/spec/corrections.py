"""corrections.yaml of a product: labels that turned out wrong, who says so, and why.

    test/good/012.png: {label: scratch, by: anna, why: the rim is scratched}
    train/good/044.png: {label: drop, by: anna, why: out of focus}

The files stay in their folders; labels are corrected where files become rows of the manifest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, Field, ValidationError

from tasks.spec.schema import Section
from tasks.workspace.errors import SpecError, nearest
from tasks.workspace.yaml_text import compose_yaml, parse_yaml, read_text

DROP = "drop"
FORM = "{label: <defect type>|good|drop, by: <who>, why: <reason>}"
NO_MASK = {"mask": "", **dict.fromkeys(("mask_width", "mask_height", "mask_share", "mask_regions"))}
Row = dict[str, Any]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


def one_line_of_text(name: str) -> str:
    """The name itself; ValueError if it holds what cannot be printed: a folder is called so."""
    if not name.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return name


class Entry(Section):
    label: Annotated[
        str,
        Field(pattern=r"^[^\s./\\]([^/\\]*[^\s/\\])?$", max_length=64),
        AfterValidator(one_line_of_text),
    ]
    by: Text
    why: Text
    new: bool = False  # the type is a new one, however near its name comes to another's


@dataclass(frozen=True)
class Correction:
    path: str  # of the image, relative to images/
    entry: Entry
    where: str  # file and line


def read_corrections(file: Path) -> list[Correction]:
    """The corrections in their order; none where there is no such file."""
    return parse_corrections(read_text(file), file) if file.is_file() else []


def parse_corrections(text: str, file: Path) -> list[Correction]:
    """The corrections that the text of this file says."""
    root = compose_yaml(text, file)
    if root is not None and not isinstance(root, yaml.MappingNode):
        raise SpecError(f"{file} must hold the paths of images, each with {FORM}")
    lines = _lines(root, str(file)) if root is not None else {}
    content = parse_yaml(text, file)
    if content is None:
        return []
    return [Correction(path, _entry(path, lines, content[path]), lines[path]) for path in content]


def _lines(root: yaml.MappingNode, file: str) -> dict[str, str]:
    """File and line of each key; YAML itself would let the last of two equal ones win."""
    found: dict[str, str] = {}
    for key, value in root.value:
        where = f"{file}, line {key.start_mark.line + 1}"
        if key.tag != "tag:yaml.org,2002:str":
            raise SpecError(f"{where}: {key.value} is no path; write test/good/<file>, in quotes")
        if key.value in found:
            raise SpecError(f"{where}: {key.value} stands there twice; keep one of the two")
        names = [k.value for k, _ in value.value] if isinstance(value, yaml.MappingNode) else []
        if len(names) > len(set(names)):
            raise SpecError(f"{where}: {key.value} has a key twice; keep one of the two")
        found[key.value] = where
    return found


def _entry(path: str, lines: dict[str, str], content: Any) -> Entry:
    where = f"{lines[path]}: {path}"
    if not isinstance(content, dict):
        raise SpecError(f"{where} is {content!r}; write {FORM}")
    try:
        return Entry(**content)
    except (ValidationError, TypeError) as error:
        if isinstance(error, TypeError):  # a key that is no text
            raise SpecError(f"{where} has a key that is no word; write {FORM}") from error
        wrong = [
            f"{'.'.join(map(str, item['loc']))} {_said(item)}, got {item['input']!r}"
            for item in error.errors()
        ]
        raise SpecError(f"{where}: {'; '.join(wrong)}; write {FORM}") from error


def _said(item: Any) -> str:
    known = {
        "missing": "is missing",
        "extra_forbidden": "is no key",
        "string_type": "must be text, if need be in quotes",
        "string_pattern_mismatch": "must be a folder's name, not blank, without / or \\",
    }
    return known.get(item["type"], item["msg"].lower())


def apply_corrections(rows: Sequence[Row], corrections: Iterable[Correction]) -> list[Row]:
    """The rows of a manifest with the labels that the corrections give; dropped ones are gone.

    A training image that is a defect becomes a test image. A mask stays only with a defect that
    stays one. Every path must be an image's, and a label that almost is a known one is an error:
    a typo would take a critical defect out of its class.
    """
    by_path = {row["path"]: row for row in rows}
    labels = {row["label"] for row in rows if row["label"]}
    given: dict[str, str] = {}
    for item in corrections:
        _check(item, by_path, labels)
        given[item.path] = item.entry.label
    kept = [row for row in rows if given.get(row["path"]) != DROP]
    return [relabelled(row, given[row["path"]]) if row["path"] in given else row for row in kept]


def relabelled(row: Row, label: str) -> Row:
    """The row with another label, its split and mask in line with that."""
    if label == row["label"]:
        return row
    split = "test" if label != "good" and row["split"] == "train" else row["split"]
    lost = NO_MASK if "good" in (label, row["label"]) else {}
    return {**row, "label": label, "split": split, **lost}


def _check(item: Correction, by_path: dict[str, Row], labels: set[str]) -> None:
    label = item.entry.label
    if item.path not in by_path:
        near = nearest(item.path, by_path)
        hint = f"did you mean {near}?" if near else "give it relative to images/"
        raise SpecError(f"{item.where}: no image {item.path}; {hint}")
    if label == DROP and DROP in labels:
        raise SpecError(
            f"{item.where}: {DROP} removes an image, but is a defect type of this product too; "
            "rename the folder of that type"
        )
    near = nearest(label, labels - {label}, 0.8)
    if label not in labels and label != DROP and near and not item.entry.new:
        raise SpecError(
            f"{item.where}: no defect type '{label}'; did you mean '{near}'? If it is a new "
            "type, add `new: true`"
        )
