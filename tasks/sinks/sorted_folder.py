"""A folder of images sorted by verdict, each with its result beside it."""

import json
from hashlib import sha256
from pathlib import Path

from tasks.documents.result import Result
from tasks.workspace.files import disk, write_synced

FOLDERS = {"good": "ok", "defect": "ng", "review": "review", "error": "error"}
ID = 80  # characters of a part id in the name of a file


def sort_image(folder: Path, result: Result, image: bytes, suffix: str) -> Path:
    """Write an image and its result into ok/, ng/, review/ or error/; where it lies.

    The same inspection again writes the same files. suffix: of the image, such as .png.
    """
    name = name_of(result)
    place = folder / FOLDERS.get(result.decision, "review")
    with disk(f"'{place}'"):
        body = json.dumps(result.dump(), indent=1, allow_nan=False) + "\n"
        write_synced(place / f"{name}.json", body.encode())
        return write_synced(place / f"{name}{suffix}", image)


def name_of(result: Result) -> str:
    """The name of both files, without a suffix: no other inspection has it."""
    part = safe(result.part)
    told = result.sha256 if part == result.part else sha256(result.key.encode()).hexdigest()
    return f"{part}-{told[:12]}"


def safe(part: str) -> str:
    """A part id as the beginning of a file's name."""
    kept = "".join(c if c.isalnum() or c in "-_." else "_" for c in part[:ID])
    return kept.lstrip(".") or "_"
