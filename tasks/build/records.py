"""What DVC knows of a workspace's stages: which are stale, and the record of those just run.

The line runs stages in processes of its own and writes what DVC would have written, through
DVC's own code: afterwards `dvc status` is clean and `dvc repro` has nothing to do.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.build.dvc_files import open_repo
from tasks.build.remote import remote_error
from tasks.workspace.errors import WorkspaceError
from tasks.workspace.paths import Workspace

PATIENCE = 120.0  # seconds to wait for another DVC command
Snapshot = dict[str, Any]  # hash of each input, by its path


@dataclass(frozen=True)
class Stage:
    """One stage: `validate`, `fit` or `evaluate` of a product, or of the workspace: `code`, the
    `pretrain` of an algorithm that products share, `leaderboard`."""

    step: str
    product: str = ""
    algorithm: str = ""

    @property
    def name(self) -> str:
        """As it stands in dvc.yaml."""
        return f"{self.step}-{self.algorithm}" if self.algorithm else self.step

    @property
    def file(self) -> str:
        """The dvc.yaml it stands in, relative to the workspace."""
        return f"data/{self.product}/dvc.yaml" if self.product else "dvc.yaml"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What its step is called with, after the workspace."""
        return tuple(part for part in (self.product, self.algorithm) if part)

    def __str__(self) -> str:
        return " ".join((self.step, *self.arguments))


class Cells:
    """The stages of a workspace. Use one per run and from any thread; DVC's part is serialised."""

    def __init__(self, workspace: Workspace) -> None:
        from dvc.exceptions import DvcException
        from dvc.scm import SCMError

        logging.getLogger("dvc").setLevel(logging.ERROR)  # hints for users of dvc
        self.workspace = workspace
        self._busy = threading.RLock()
        self._depth = 0
        try:
            self.repo = open_repo(workspace)
            self._stages = {self._key(stage): stage for stage in self.repo.index.stages}
        except (DvcException, SCMError) as error:
            raise WorkspaceError(
                f"DVC cannot read {workspace.root}: {error}; fix that, or `inspectline init "
                f"{workspace.root}` where git or DVC is gone"
            ) from error

    def stale(self, stages: Iterable[Stage]) -> list[Stage]:
        """Those whose inputs, command or outputs differ from the record."""
        with self.held():
            return [stage for stage in stages if self._changed(self.dvc(stage))]

    def inputs(self, stage: Stage) -> Snapshot:
        """Hashes of the stage's inputs as they are now, to compare when it has run."""
        with self.held():
            found = self.dvc(stage)
            found.save_deps()
            return {dep.def_path or "params": _value(dep) for dep in found.deps}

    def commit(self, stages: list[tuple[Stage, Snapshot]]) -> list[Stage]:
        """Record stages of one product that ran from these inputs; those not recorded come back.

        A stage is left out where an input changed while it ran: it stays stale.
        """
        from dvc.exceptions import DvcException

        with self.held():
            moved = [stage for stage, before in stages if self.inputs(stage) != before]
            done = [self.dvc(stage) for stage, _ in stages if stage not in moved]
            try:
                for stage in done:
                    stage.save(run_cache=False)
                    stage.ignore_outs()
                    stage.commit()
                if done:
                    done[0].dvcfile.dump_stages(done, update_pipeline=False)
            except DvcException as error:  # an output that git tracks: it says how to end that
                names = ", ".join(str(stage) for stage, _ in stages)
                raise WorkspaceError(f"DVC cannot record {names}: {error}") from error
            return moved

    def ignore(self, stage: Stage) -> None:
        """Have git ignore what a stage wrote that failed: its outputs are DVC's. Where that cannot
        be, it is not told: why the stage failed is."""
        from dvc.exceptions import DvcException

        with suppress(DvcException, OSError, WorkspaceError), self.held():
            for out in self.dvc(stage).outs:
                if out.exists:
                    out.ignore()

    @contextmanager
    def held(self) -> Iterator[None]:
        """DVC's own lock on the repository, waited for, once however deep the calls."""
        with self._busy:
            if self._depth == 0:
                self._lock()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.repo.lock.unlock()

    def _lock(self) -> None:
        from dvc.lock import LockError

        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.repo.lock.lock()
            except LockError:
                if time.monotonic() > until:
                    raise WorkspaceError(
                        f"another DVC command holds {self.workspace.root}; wait for it to end"
                    ) from None
                time.sleep(0.2)

    def _changed(self, stage: Any) -> bool:
        return stage.changed_stage() or stage.changed_deps() or stage.changed_outs()

    def dvc(self, stage: Stage) -> Any:
        try:
            return self._stages[stage.file, stage.name]
        except KeyError:
            raise WorkspaceError(
                f"{stage.file} has no stage '{stage.name}'; run `inspectline sync`"
            ) from None

    def _key(self, stage: Any) -> tuple[str, str]:
        return stage.path_in_repo.split(":")[0], getattr(stage, "name", "") or ""


def _value(dep: Any) -> Any:
    return (
        dict(dep.hash_info.value) if isinstance(dep.hash_info.value, dict) else dep.hash_info.value
    )


def version(workspace: Workspace, *paths: Path) -> None:
    """`dvc add` of files or folders in the workspace; unchanged ones change nothing."""
    from dvc.exceptions import DvcException

    with open_repo(workspace) as repo:
        try:
            repo.scm_context.quiet = True  # hints for users of dvc
            repo.add([str(path) for path in paths])
        except DvcException as error:
            names = ", ".join(str(path.relative_to(workspace.root)) for path in paths)
            remedy = "; take that out of .gitignore" if "ignored" in str(error) else ""
            raise WorkspaceError(f"dvc add {names}: {error}{remedy}") from error


def push(workspace: Workspace, targets: list[str]) -> int | None:
    """Files sent to the DVC remote; None where none is set (`dvc remote add -d NAME URL`). A
    StoreError says what hinders it, whatever the remote's client raises.

    targets: files of DVC, or stages as `data/bottle/dvc.yaml:fit-padim`.
    """
    with open_repo(workspace) as repo:
        if not repo.config["core"].get("remote"):
            return None
        try:
            return repo.push(targets=targets)
        except Exception as error:
            raise remote_error(error, "push") from error
