"""What a person says of an image's label: an entry in corrections.yaml, and a record."""

from collections.abc import Callable
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
    told: Content = {"label": label} | ({"new": True} if new else {})
    about: Content = {"by": by, "reason": reason, "seen": seen}
    return _change(workspace, product, image, "correction", lambda *_: told, **about)


def keep_label(
    workspace: Workspace,
    product: str,
    image: str,
    *,
    by: str,
    reason: str,
    seen: str | None = None,
) -> Content:
    """Say that the label of an image is right, so that it is not doubted again; the record.

    seen: the label that the caller saw; ChangedError if it is different now.
    """

    def told(label: str, before: Content) -> Content:
        return {"label": label} | ({"new": True} if before.get("new") else {})

    about: Content = {"by": by, "reason": reason, "seen": seen}
    return _change(workspace, product, image, "kept", told, **about)


def withdraw_label(
    workspace: Workspace,
    product: str,
    image: str,
    *,
    by: str,
    reason: str,
    seen: str | None = None,
) -> Content:
    """Take back what was said of an image's label: its folder decides again; the record.

    seen: the label that the caller saw; ChangedError if it is different now. DataError if nothing
    was said of it.
    """
    about: Content = {"by": by, "reason": reason, "seen": seen}
    return _change(workspace, product, image, "withdrawn", lambda *_: None, **about)


def _change(
    workspace: Workspace,
    product: str,
    image: str,
    kind: str,
    told: Callable[[str, Content], Content | None],
    *,
    by: str,
    reason: str,
    seen: str | None,
) -> Content:
    """Write the entry that `told` makes of the present label and entry, or remove the entry; the
    record."""
    workspace.require(product)
    by, reason = one_line(by, "the name"), one_line(reason, "the reason")
    path = workspace.corrections(product)
    with locked_for_change(workspace, path, None):
        rows = folder_labels(workspace.images(product))
        old = current_label(rows, path, image)
        if seen is not None and seen != old:
            raise ChangedError(f"{image} now has the label {old}; check it, then correct it")
        before, own = path.read_text("utf-8") if path.is_file() else "", read_yaml(path)
        said = told(old, own.get(image, {}))
        if said is None and image not in own:
            raise DataError(f"nothing was said of the label of {image}; its folder decides")
        entry = None if said is None else {"label": "", "by": by, "why": reason} | said
        others = {name: one for name, one in own.items() if name != image}
        expected = others if entry is None else own | {image: entry}
        after = edit_yaml_exactly(before, expected, lambda lines: _enter(lines, image, entry), path)
        apply_corrections(rows, parse_corrections(after, path))
        new = folder_label(rows, image) if entry is None else entry["label"]
        record = {"by": by, "reason": reason, "image": image, "old": old, "new": new}
        record["what"] = f"{image}: {old}" + (f" → {new}" if new != old else "")
        return write_change(workspace, product, kind, path, after, record)


def folder_labels(images: Path) -> list[Row]:
    """Path, split and label of each image, from its folders."""
    paths = [path for path in image_files(images) if not is_mask(path) and not layout_problem(path)]
    return [{"path": str(p), "split": p.parts[0], "label": p.parts[1], "mask": ""} for p in paths]


def current_label(rows: list[Row], corrections: Path, image: str) -> str:
    """The present label of an image: from its correction, or from its folder."""
    entries = {item.path: item.entry.label for item in read_corrections(corrections)}
    folder = folder_label(rows, image)
    return str(entries.get(image, folder))


def folder_label(rows: list[Row], image: str) -> str:
    """The label of the folder of an image; DataError if there is no such image."""
    folders = {row["path"]: row["label"] for row in rows}
    if image not in folders:
        raise DataError(f"no image {image}; give its path relative to images/")
    return str(folders[image])


def _enter(content: Any, image: str, entry: Content | None) -> None:
    """Set the line of an image; without an entry, remove it."""
    if entry is None:
        del content[image]
        return
    from ruamel.yaml import CommentedMap

    line = CommentedMap(entry)
    line.fa.set_flow_style()
    content[image] = line
