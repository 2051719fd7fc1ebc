"""What of a product was changed by hand since its last run, and so waits for the next one.

Compares the specs and files of now with what DVC recorded of the stages (dvc.lock), without DVC and
without looking at images: it takes milliseconds, so a page can ask every few seconds.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.spec.read import read_yaml
from tasks.spec.recipe import product_recipe
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace

NOTHING = object()  # a key that is not there
SHOWN = 12  # changes of a product that are listed


def pending(workspace: Workspace) -> dict[str, list[str]]:
    """Changes that wait, by product; products without one are left out. A spec that cannot be read
    says so in its line."""
    found: dict[str, list[str]] = {}
    for product in workspace.products:
        try:
            lines = list(changes(workspace, product))
        except LineError as error:
            lines = [str(error)]
        if lines:
            found[product] = listed(lines)
    return found


def stamp(workspace: Workspace) -> tuple[tuple[str, int], ...]:
    """Changes with each file that `pending` reads: as long as it stays, so does the answer."""
    files = [workspace.root / "params.yaml"]
    for product in workspace.products:
        folder = workspace.product(product)
        names = ("product.yaml", "auto.yaml", "corrections.yaml", "images.dvc", "dvc.lock")
        files += [folder / name for name in names]
    return tuple((str(path), path.stat().st_mtime_ns) for path in files if path.is_file())


def listed(lines: list[str]) -> list[str]:
    """At most `SHOWN` changes, and how many more there are."""
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"and {more} more"]


def changes(workspace: Workspace, product: str) -> Iterator[str]:
    """What waits for a run of one product, a line each."""
    folder = workspace.product(product)
    stages = _stages(folder / "dvc.lock")
    if "validate" not in stages:
        yield "no run yet"
        return
    yield from _files(workspace, product, stages["validate"])
    now = product_recipe(workspace.root, product)
    yield from _values(_recorded(stages["validate"], "validate"), now["validate"])
    evaluated = [_recorded(s, "evaluate") for n, s in stages.items() if n.startswith("evaluate-")]
    known = {name.removeprefix("fit-") for name in stages if name.startswith("fit-")}
    for algorithm, recipe in now["fit"].items():
        if algorithm not in known:
            yield f"{algorithm} is not fitted yet"
            continue
        before = _recorded(stages[f"fit-{algorithm}"], f"fit.{algorithm}")
        yield from (f"{algorithm}: {line}" for line in _values(before, recipe))
    seen = set()
    for before in evaluated:
        for line in _values(before, now["evaluate"]):
            if line not in seen:
                seen.add(line)
                yield line


def _files(workspace: Workspace, product: str, stage: dict[str, Any]) -> Iterator[str]:
    """Images and corrections that are others than those of the last validation."""
    deps = stage.get("deps", [])
    before = {dep["path"]: dep.get("md5") for dep in deps}
    files = {dep["path"]: dep.get("nfiles") for dep in deps}
    tracked = workspace.product(product) / "images.dvc"
    if tracked.is_file():
        outs = (read_yaml(tracked) or {}).get("outs") or [{}]
        if outs[0].get("md5") != before.get("images"):
            yield _images(files.get("images"), outs[0].get("nfiles"))
    corrections = workspace.corrections(product)
    now = _md5(corrections) if corrections.is_file() else None
    if now != before.get(corrections.name):
        yield f"{corrections.name} changed"


def _images(before: int | None, now: int | None) -> str:
    """That images changed, with the numbers of files where both are known and differ."""
    if before is None or now is None or before == now:
        return "the images changed"
    return f"the images changed: {before} files, now {now}"


def _values(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """The values that differ, as `threshold.overkill: 0.01, now 0.02`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            inner = f"{path}.{key}" if path else str(key)
            yield from _values(before.get(key, NOTHING), now.get(key, NOTHING), inner)
    elif before is NOTHING:
        yield f"{path}: now {_brief(now)}"
    elif now is NOTHING:
        yield f"{path}: {_brief(before)}, now as by default"
    elif before != now:
        yield f"{path}: {_brief(before)}, now {_brief(now)}"


def _brief(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _recorded(stage: dict[str, Any], key: str) -> Any:
    return (stage.get("params", {}).get("recipe.yaml") or {}).get(key, {})


def _stages(lock: Path) -> dict[str, Any]:
    found = read_yaml(lock) if lock.is_file() else {}
    return (found or {}).get("stages") or {}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
