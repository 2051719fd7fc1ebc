"""Correct the label of an image: an entry in corrections.yaml, and a record."""

from pathlib import Path
from typing import Any

from tasks.images.layout import image_files, is_mask, layout_problem
from tasks.products.changing import (
    Content,
    edit_yaml_exactly,
    locked_for_change,
    one_line,
    write_change,
)
from tasks.spec.corrections import Row, apply_corrections, parse_corrections, read_corrections
from tasks.spec.read import read_yaml
from tasks.workspace.errors import ChangedError, DataError
from tasks.workspace.paths import Workspace


def correct_label(
    workspace: Workspace,
    product: str,
    image: str,
    label: str,
    *,
    by: str,
    reason: str,
    new: bool = False,
    seen: str | None = None,
) -> Content:
    """Correct a label; the record. The correction applies from the next run on.

    image: path relative to the product's images. label: a defect type, good, or drop; the folder's
    name cancels a correction. new: the type is new, even if its name is similar to another. seen:
    the label that the caller saw; ChangedError if it is different now.
    """
    workspace.require(product)
    by, reason = one_line(by, "the name"), one_line(reason, "the reason")
    path = workspace.corrections(product)
    with locked_for_change(workspace, path, None):
        rows = folder_labels(workspace.images(product))
        old = current_label(rows, path, image)
        if seen is not None and seen != old:
            raise ChangedError(f"{image} now has the label {old}; check it, then correct it")
        entry = {"label": label, "by": by, "why": reason} | ({"new": True} if new else {})
        before, own = path.read_text("utf-8") if path.is_file() else "", read_yaml(path)
        expected = own | {image: entry}
        after = edit_yaml_exactly(before, expected, lambda lines: _enter(lines, image, entry), path)
        apply_corrections(rows, parse_corrections(after, path))
        record = {"by": by, "reason": reason, "image": image, "old": old, "new": label}
        record["what"] = f"{image}: {old} → {label}"
        return write_change(workspace, product, "correction", path, after, record)


def folder_labels(images: Path) -> list[Row]:
    """Path, split and label of each image, from its folders."""
    paths = [path for path in image_files(images) if not is_mask(path) and not layout_problem(path)]
    return [{"path": str(p), "split": p.parts[0], "label": p.parts[1], "mask": ""} for p in paths]


def current_label(rows: list[Row], corrections: Path, image: str) -> str:
    """The present label of an image: from its correction, or from its folder."""
    entries = {item.path: item.entry.label for item in read_corrections(corrections)}
    folders = {row["path"]: row["label"] for row in rows}
    if image not in folders:
        raise DataError(f"no image {image}; give its path relative to images/")
    return str(entries.get(image, folders[image]))


def _enter(content: Any, image: str, entry: Content) -> None:
    from ruamel.yaml import CommentedMap

    line = CommentedMap(entry)
    line.fa.set_flow_style()
    content[image] = line
