"""Safe paths below our own folder for the file names of a source.

A key of a bucket or a member of an archive can be any text. Each name is checked here before a file
is written, so that no file lies outside the folder, replaces another file, or has too long a name.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST_PART = 230  # bytes of one name: a file system takes 255, and we append to some
LONGEST = 1024  # bytes of a whole path


def safe_path(name: str) -> PurePosixPath:
    """The path of a name below a folder; a ValueError says why the name has no safe path."""
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or parts[0].endswith(":") or ".." in parts:
        raise ValueError("points outside its folder; give it a plain relative path")
    kept = [part for part in parts if part not in ("", ".")]
    sizes = [len(part.encode("utf-8", "surrogateescape")) for part in kept]
    if not kept or "\0" in name:
        raise ValueError("is not a file name; rename it")
    if max(sizes) > LONGEST_PART or sum(sizes) + len(sizes) > LONGEST:
        raise ValueError(
            f"is too long; use at most {LONGEST_PART} bytes for a name and {LONGEST} for a path"
        )
    return PurePosixPath(*kept)


def relative_parts(name: str) -> PurePosixPath:
    """The name without the parts that lead out of the folder, to see whether it is an image."""
    return PurePosixPath(*[p for p in name.replace("\\", "/").split("/") if p not in ("", "..")])


def safe_paths(names: Iterable[str]) -> tuple[dict[PurePosixPath, str], list[tuple[str, str]]]:
    """The name for each accepted path, and (name, reason) of each refused name.

    If two names have the same path, the first is accepted. If one path is a file and another lies
    below it, the file is accepted.
    """
    taken: dict[PurePosixPath, str] = {}
    refused: list[tuple[str, str]] = []
    for name in names:
        try:
            path = safe_path(name)
        except ValueError as error:
            refused.append((name, str(error)))
            continue
        if path in taken:
            refused.append((name, f"has the place of {taken[path]!r}; give it another name"))
        else:
            taken[path] = name
    for path in list(taken):
        if above := next((parent for parent in path.parents if parent in taken), None):
            reason = f"lies below {taken[above]!r}, which is a file; move one of them"
            refused.append((taken[path], reason))
    lost = {name for name, _ in refused}
    return {path: name for path, name in taken.items() if name not in lost}, refused


def printable(name: str) -> str:
    """A name in one line, whatever it holds: control characters and odd bytes are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
