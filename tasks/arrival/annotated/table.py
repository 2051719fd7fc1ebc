"""A table of CSV: the path of each image, its label, and its mask where it has one."""

import csv
import io

from tasks.arrival.entry import Entry
from tasks.workspace.errors import DataError

PATH = ("path", "image", "file", "filename", "file_name")
LABEL = ("label", "class", "defect")
COLUMNS = f"a head line with `{PATH[0]}`, `{LABEL[0]}` and, where there are masks, `mask`"


def table_entries(text: str, file: str) -> list[Entry]:
    """An entry for each row. Several rows of one image are several defects of it."""
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"{file} is no CSV: {error}") from error
    names = [name.strip().casefold() for name in rows[0]] if rows else []
    path = next((names.index(one) for one in PATH if one in names), None)
    label = next((names.index(one) for one in LABEL if one in names), None)
    if path is None or label is None:
        raise DataError(f"{file} needs {COLUMNS}")
    entries = []
    for line, row in enumerate(rows[1:], 2):
        if any(map(str.strip, row)):
            cells = dict(enumerate(map(str.strip, row)))
            entry = Entry(f"{file}, row {line}", cells.get(path, ""), [cells.get(label, "")])
            entry.mask = cells.get(names.index("mask"), "") if "mask" in names else ""
            split = cells.get(names.index("split"), "") if "split" in names else ""
            entry.split = split.casefold() or None
            entries.append(entry)
    return entries
