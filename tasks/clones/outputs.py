"""Exchange of results between clones of a workspace: outputs in the DVC remote, and lock entries.

To take over a stage that ran in another clone, we write its entry into dvc.lock and pull its
outputs. Then DVC itself says whether the stage is up to date here. If an input, a parameter or the
code differs, it is not, and the entry is removed again.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tasks.build.records import Cells, Stage
from tasks.build.remote import remote_error
from tasks.workspace.errors import AwayError, LineError, StoreError, WorkspaceError

Entry = dict[str, Any]  # entry of dvc.lock: cmd, deps, params, outs


class DamagedError(StoreError):
    """Objects of the DVC remote are missing, or their content does not match their name."""


def push_outputs(cells: Cells, stages: Sequence[Stage]) -> None:
    """Push the outputs of the stages to the DVC remote."""
    infos = [out.hash_info for s in stages for out in cells.dvc(s).outs if out.hash_info]
    _push(cells, infos)


def push_inputs(cells: Cells, stages: Sequence[Stage]) -> None:
    """Push the inputs of the stages that the remote does not have."""
    sources = _sources(cells, stages)
    _push(cells, [out.hash_info for source in sources for out in source.outs])


def pull_inputs(cells: Cells, stages: Sequence[Stage]) -> None:
    """Pull all inputs of the stages that other stages make."""
    _pull(cells, _sources(cells, stages))


def lock_entry(cells: Cells, stage: Stage) -> Entry:
    """The stage's entry of dvc.lock."""
    from dvc.stage.serialize import to_single_stage_lockfile

    return json.loads(json.dumps(to_single_stage_lockfile(cells.dvc(stage))))


def same_inputs(cells: Cells, stage: Stage, made: Entry) -> bool:
    """Whether an entry has the present command, inputs and parameters."""
    from dvc.exceptions import DvcException

    with cells.held(), _restored_stages(cells, [stage]):
        try:
            cells.inputs(stage)
        except DvcException:  # a model that is not there yet
            return False
        here = lock_entry(cells, stage)
        return all(here.get(key) == made.get(key) for key in ("cmd", "deps", "params"))


def take_over(cells: Cells, entries: dict[Stage, Entry]) -> list[Stage]:
    """Record stages of one product that ran on another machine, and pull their outputs.

    Returns the stages that are not up to date here, because an input has changed. DamagedError, and
    nothing is recorded, if an output is missing or damaged.
    """
    from dvc.stage.loader import StageLoader

    with cells.held(), _restored_stages(cells, entries) as kept:
        found = {stage: cells.dvc(stage) for stage in entries}
        for stage, one in found.items():
            StageLoader.fill_from_lock(one, entries[stage])
            one.cmd_changed = entries[stage].get("cmd") != one.cmd
        _pull(cells, found.values())
        other = {(stage.product, stage.algorithm) for stage in cells.stale(entries)}
        moved = [s for s in entries if (s.product, s.algorithm) in other]
        done = [one for stage, one in found.items() if stage not in moved]
        for one in done:
            one.ignore_outs()
        if done:
            done[0].dvcfile.dump_stages(done, update_pipeline=False)
        for stage in set(entries) - set(moved):
            del kept[stage]
        return moved


@contextmanager
def _restored_stages(cells: Cells, stages: Iterable[Stage]) -> Iterator[dict[Stage, Entry]]:
    """After the block DVC's stages are restored from dvc.lock, except those that the block
    removes."""
    from dvc.stage.loader import StageLoader

    kept = {stage: lock_entry(cells, stage) for stage in stages}
    changed = {stage: cells.dvc(stage).cmd_changed for stage in kept}
    try:
        yield kept
    finally:
        for stage, before in kept.items():
            StageLoader.fill_from_lock(cells.dvc(stage), before)
            cells.dvc(stage).cmd_changed = changed[stage]


def _sources(cells: Cells, stages: Sequence[Stage]) -> list[Any]:
    """DVC's stages whose outputs these stages read, and the images behind them."""
    made = [cells.dvc(stage) for stage in stages]
    owners = {out.fs_path: one for one in cells.repo.index.stages for out in one.outs}
    found: dict[int, Any] = {}
    queue = [dep for one in made for dep in one.deps]
    while queue:
        one = owners.get(queue.pop().fs_path)
        if one is None or one in made or _needs_no_remote(getattr(one, "name", "") or ""):
            continue
        found[id(one)] = one
        if getattr(one, "name", "") == "validate":
            queue += one.deps
    return list(found.values())


def _needs_no_remote(stage: str) -> bool:
    """The code is each machine's own, and recipes are in git."""
    return stage in ("code", "recipes")


def _push(cells: Cells, infos: list[Any]) -> None:
    from dvc_data.hashfile.transfer import transfer

    with _remote_errors("push"):
        odb = cells.repo.cloud.get_remote_odb(None, "push")
        odb.fs.fs.invalidate_cache()
        cache = cells.repo.cache.local
        # check every object: DVC's index may list objects that the remote lost
        failed = transfer(cache, odb, infos, cache_odb=cache, shallow=False).failed
    if failed:
        raise AwayError(f"the DVC remote did not take {len(failed)} of {len(infos)} objects")


def _pull(cells: Cells, stages: Iterable[Any]) -> None:
    """Fetch and check out; DamagedError for missing or damaged objects."""
    from dvc_data.hashfile.transfer import transfer

    stages = list(stages)
    outs = [out for one in stages for out in one.outs]
    infos = [out.hash_info for out in outs]
    with _remote_errors("pull"):
        odb = cells.repo.cloud.get_remote_odb(None, "pull")
        odb.fs.fs.invalidate_cache()  # its listings may be older than new pushes
        cache = cells.repo.cache.local
        folders = [info for info in infos if info.isdir]
        transfer(odb, cache, folders, cache_odb=cache, verify=True)  # their lists come first
        known = [info for info in infos if not info.isdir or cache.exists(info.value)]
        transfer(odb, cache, known, cache_odb=cache, verify=True, shallow=False)
        if lacking := sorted({oid for info in infos for oid in _lacking(cache, info)}):
            raise _damage(odb, lacking)
        for out in outs:
            out.checkout(force=True)


def _damage(odb: Any, lacking: list[str]) -> StoreError:
    """The error for objects that did not arrive. Damaged objects are removed from the remote, so
    that a machine that has them can push them again."""
    damaged = []
    for oid in lacking:
        path = odb.oid_to_path(oid)
        if not odb.fs.exists(path):
            damaged.append(oid)
        elif hashlib.md5(odb.fs.cat_file(path)).hexdigest() != oid.removesuffix(".dir"):
            damaged.append(oid)
            odb.fs.remove(path)
    if damaged:
        what = f"{len(damaged)} objects of the DVC remote are missing or damaged"
        return DamagedError(f"{what}, {damaged[0]} among them")
    return AwayError(f"the DVC remote did not give {len(lacking)} objects")


def _lacking(cache: Any, info: Any) -> Iterator[str]:
    """Objects of a hash that are not in the cache."""
    from dvc_data.hashfile.tree import Tree

    if not cache.exists(info.value):
        yield info.value
    elif info.isdir:
        held = (one.value for _, _, one in Tree.load(cache, info))
        yield from (oid for oid in held if not cache.exists(oid))


class _remote_errors:  # noqa: N801
    """A context that turns errors of DVC and of the network into a StoreError with the remedy."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        from dvc.config import NoRemoteError

        if isinstance(error, NoRemoteError):
            raise WorkspaceError(
                "workers on other machines share a DVC remote, and none is set; "
                "`dvc remote add -d NAME URL`"
            ) from error
        if isinstance(error, Exception) and not isinstance(error, LineError):
            raise remote_error(error, self.what) from error
