"""Take a workspace of version 0.1 over without training.

There a fingerprint named files and held their hashes, and a cell depended on keys of params.yaml
and product.yaml. Where a cell was up to date by that, and made by the code of version 0.1, its
record in dvc.lock is written in today's form: with the fingerprint that the same code has today,
and with its recipe. Whatever changed since then is stale in the usual way.
"""

import hashlib
from pathlib import Path
from typing import Any

import yaml

from tasks.build.fingerprint import content
from tasks.build.records import Cells, Stage
from tasks.spec.read import read_yaml
from tasks.workspace.files import write_text
from tasks.workspace.paths import Workspace

OLD = "python -m tasks.code "
# Of each step and algorithm: md5 of its fingerprint's file in version 0.1, and today's fingerprint
# of the same code.
TABLE = Path(__file__).with_name("version_0_1.yaml")
Lock = dict[str, Any]


class Upgrade:
    """What is up to date in a workspace of version 0.1; `record` follows once the graph is new."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.known = read_yaml(TABLE)
        cells = Cells(workspace)
        self.current = [stage for stage in stages_of(workspace) if self._current(cells, stage)]

    def record(self) -> list[Path]:
        """Write the locks of what was up to date; those files."""
        changed = []
        for path in sorted({self.workspace.root / s.file for s in self.current}):
            lock = path.with_suffix(".lock")
            content = yaml.safe_load(lock.read_text())
            for stage in self.current:
                if self.workspace.root / stage.file == path:
                    self._renew(content["stages"][stage.name], stage)
            write_text(lock, yaml.safe_dump(content, sort_keys=False, width=1000))
            changed.append(lock)
        return changed

    def _current(self, cells: Cells, stage: Stage) -> bool:
        """Whether nothing that the stage read has changed; what is not here has not."""
        with cells.held():
            found = cells.dvc(stage)
            if found.changed_stage() or not found.outs or found.outs[0].hash_info is None:
                return False
            states = [state for dep in found.deps for state in dep.status().values()]
            same = all(state == "deleted" for state in states)
            made = [(name_of(d.def_path), d.hash_info.value) for d in found.deps if d.def_path]
        codes = [(name, value) for name, value in made if name]
        return same and all(
            value == self.known.get(name, {}).get("before") for name, value in codes
        )

    def _renew(self, entry: Lock, stage: Stage) -> None:
        for dep in entry["deps"]:
            if name := name_of(dep["path"]):
                text = content(self.known[name]["now"]).encode()
                digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
                dep |= {"md5": digest, "size": len(text)}
        if stage.product:
            recipe = read_yaml(self.workspace.product_recipe(stage.product))
            key, values = stage.step, recipe[stage.step]
            if stage.step == "fit":
                key, values = f"fit.{stage.algorithm}", values[stage.algorithm]
            entry["params"] = {"recipe.yaml": {key: values}}


def forget_old_code(workspace: Workspace) -> None:
    """Take the stages `code-NAME` out of dvc.lock, of which `code` has become. Other records stay:
    what comes back to a spec is not trained again. To be called while DVC's lock is held."""
    path = workspace.root / "dvc.lock"
    if path.is_file() and "\n  code-" in path.read_text():
        lock = read_yaml(path)
        stages = lock.get("stages") or {}
        lock["stages"] = {k: v for k, v in stages.items() if not k.startswith("code-")}
        write_text(path, yaml.safe_dump(lock, sort_keys=False, width=1000))


def needed(workspace: Workspace) -> bool:
    """Whether the workspace's graph is one of version 0.1."""
    path = workspace.root / "dvc.yaml"
    return path.is_file() and OLD in path.read_text()


def name_of(path: str | None) -> str:
    """The step or algorithm whose fingerprint a path is; empty for another path."""
    place = Path(path or "")
    return place.stem if place.parent.name == ".code" else ""


def stages_of(workspace: Workspace) -> list[Stage]:
    """All stages in the workspace's locks that depend on a fingerprint."""
    found = []
    for lock in [workspace.root / "dvc.lock", *workspace.root.glob("data/*/dvc.lock")]:
        product = "" if lock.parent == workspace.root else lock.parent.name
        names = (read_yaml(lock).get("stages") or {}) if lock.is_file() else {}
        graph = read_yaml(lock.with_name("dvc.yaml")).get("stages") or {}
        for name in names:
            step, _, algorithm = name.partition("-")
            if name in graph and step in ("validate", "pretrain", "fit", "evaluate"):
                found.append(Stage(step, product, algorithm))
    return found
