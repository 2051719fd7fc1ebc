"""What travels between clones of a workspace: outputs through the DVC remote, lock entries.

A stage that ran in another clone is taken over by writing its entry into dvc.lock and pulling its
outputs. DVC itself then says whether it is up to date here: if an input, a parameter or the code
differs, it is not, and the entry goes again.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tasks.build.records import Cells, Stage
from tasks.workspace.errors import AwayError, LineError, MachineError, StoreError, WorkspaceError

Entry = dict[str, Any]  # of dvc.lock: cmd, deps, params, outs


class DamagedError(StoreError):
    """Objects of the DVC remote are missing, or are not what their name says."""


def push_outputs(cells: Cells, stages: Sequence[Stage]) -> None:
    """Push what the stages made, or what they name, to the DVC remote."""
    infos = [out.hash_info for s in stages for out in cells.dvc(s).outs if out.hash_info]
    _push(cells, infos)


def push_inputs(cells: Cells, stages: Sequence[Stage]) -> None:
    """Push what stages in another clone will need, as far as the remote lacks it."""
    sources = _sources(cells, stages)
    _push(cells, [out.hash_info for source in sources for out in source.outs])


def pull_inputs(cells: Cells, stages: Sequence[Stage]) -> None:
    """Pull all that the stages need and do not make themselves."""
    _pull(cells, _sources(cells, stages))


def lock_entry(cells: Cells, stage: Stage) -> Entry:
    """The stage's entry of dvc.lock."""
    from dvc.stage.serialize import to_single_stage_lockfile

    return json.loads(json.dumps(to_single_stage_lockfile(cells.dvc(stage))))


def same_inputs(cells: Cells, stage: Stage, made: Entry) -> bool:
    """Whether an entry is of the command, the inputs and the parameters that are here now."""
    from dvc.exceptions import DvcException

    with cells.held(), _restored_stages(cells, [stage]):
        try:
            cells.inputs(stage)
        except DvcException:  # a model that is not there yet
            return False
        here = lock_entry(cells, stage)
        return all(here.get(key) == made.get(key) for key in ("cmd", "deps", "params"))


def take_over(cells: Cells, entries: dict[Stage, Entry]) -> list[Stage]:
    """Record stages of one product that ran elsewhere, and pull what they made.

    Those come back that are not up to date here: what they were made from has changed since.
    DamagedError, and nothing is recorded, where an output cannot be had.
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
    """Afterwards DVC's stages are as dvc.lock has them, but for those that the block takes out."""
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
    """DVC's stages whose outputs these read, and the images behind them."""
    made = [cells.dvc(stage) for stage in stages]
    owners = {out.fs_path: one for one in cells.repo.index.stages for out in one.outs}
    found: dict[int, Any] = {}
    queue = [dep for one in made for dep in one.deps]
    while queue:
        one = owners.get(queue.pop().fs_path)
        if one is None or one in made or str(getattr(one, "name", "")).startswith("code-"):
            continue  # the code is each machine's own
        found[id(one)] = one
        if getattr(one, "name", "") == "validate":
            queue += one.deps
    return list(found.values())


def _push(cells: Cells, infos: list[Any]) -> None:
    from dvc_data.hashfile.transfer import transfer

    with _remote_errors("push"):
        odb = cells.repo.cloud.get_remote_odb(None, "push")
        odb.fs.fs.invalidate_cache()
        cache = cells.repo.cache.local
        # every object is looked for: DVC's index would remember what the remote once had
        failed = transfer(cache, odb, infos, cache_odb=cache, shallow=False).failed
    if failed:
        raise AwayError(f"the DVC remote did not take {len(failed)} of {len(infos)} objects")


def _pull(cells: Cells, stages: Iterable[Any]) -> None:
    """Fetch and check out; DamagedError for what is not there, or not what its name says."""
    from dvc_data.hashfile.transfer import transfer

    stages = list(stages)
    outs = [out for one in stages for out in one.outs]
    infos = [out.hash_info for out in outs]
    with _remote_errors("pull"):
        odb = cells.repo.cloud.get_remote_odb(None, "pull")
        odb.fs.fs.invalidate_cache()  # its listings are from before others pushed
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
    """What is wrong with objects that did not come; damaged ones are removed from the remote, so
    that who has them can push them anew."""
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
    """Objects behind a hash that the cache does not hold."""
    from dvc_data.hashfile.tree import Tree

    if not cache.exists(info.value):
        yield info.value
    elif info.isdir:
        held = (one.value for _, _, one in Tree.load(cache, info))
        yield from (oid for oid in held if not cache.exists(oid))


class _remote_errors:  # noqa: N801
    """As a context: errors of DVC and of the network become a StoreError with the remedy."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        from dvc.config import NoRemoteError
        from dvc.exceptions import DvcException

        if isinstance(error, NoRemoteError):
            raise WorkspaceError(
                "workers on other machines share a DVC remote, and none is set; "
                "`dvc remote add -d NAME URL`"
            ) from error
        if disk_is_full(error):
            raise MachineError(f"dvc {self.what}: no space left on the disk; make room") from error
        if isinstance(error, PermissionError):
            raise StoreError(f"the DVC remote refuses a {self.what}: {error}") from error
        if isinstance(error, LineError) or not isinstance(error, Exception):
            return
        if isinstance(error, DvcException | OSError) or "boto" in type(error).__module__:
            raise AwayError(f"dvc {self.what} failed: {error or type(error).__name__}") from error


def disk_is_full(error: BaseException | None) -> bool:
    """Whether a disk without room is behind an error."""
    import errno

    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
