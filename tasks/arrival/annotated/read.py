"""A file of annotations as entries, whichever of the known forms it has."""

import json
from pathlib import Path

from tasks.arrival.annotated.coco import coco_entries
from tasks.arrival.annotated.label_studio import label_studio_entries
from tasks.arrival.annotated.table import table_entries
from tasks.arrival.entry import Entry
from tasks.workspace.errors import DataError
from tasks.workspace.files import megabytes

LARGEST = 256 << 20  # bytes: what is read of it takes several times as much
FORMS = "COCO (.json), a table (.csv) of path and label, or an export of Label Studio (.json)"


def read_entries(file: Path) -> list[Entry]:
    """What the file says of each image; DataError where it is no file of annotations."""
    if not file.is_file():
        raise DataError(f"{file}: no such file; --annotations takes {FORMS}")
    if (size := file.stat().st_size) > LARGEST:
        raise DataError(f"{file}: {megabytes(size)}; split it, at most {megabytes(LARGEST)}")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is not UTF-8 ({error.reason}); export it as UTF-8") from error
    name = file.name
    if file.suffix.lower() != ".json":
        return table_entries(text, name)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no whole JSON ({error}); export it again") from error
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return coco_entries(content, name)
    if isinstance(content, list) and content:
        return label_studio_entries(content, name)
    raise DataError(f"{file}: neither COCO nor Label Studio; --annotations takes {FORMS}")
