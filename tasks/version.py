"""Put images and other files under DVC, and send what DVC holds to its remote."""

from pathlib import Path

from tasks.errors import StoreError, WorkspaceError
from tasks.workspace import Workspace


def version(workspace: Workspace, *paths: Path) -> None:
    """`dvc add` of files or folders in the workspace; unchanged ones change nothing."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo(str(workspace.root)) as repo:
        try:
            repo.scm_context.quiet = True  # its hints are for people at its own door
            repo.add([str(path) for path in paths])
        except DvcException as error:
            names = ", ".join(str(path.relative_to(workspace.root)) for path in paths)
            raise WorkspaceError(f"dvc add {names}: {error}") from error


def push(workspace: Workspace, targets: list[str]) -> int | None:
    """Files sent to the DVC remote; None where none is set (`dvc remote add -d NAME URL`).

    targets: files of DVC, or stages as `data/bottle/dvc.yaml:fit-padim`.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with Repo(str(workspace.root)) as repo:
        if not repo.config["core"].get("remote"):
            return None
        try:
            return repo.push(targets=targets)
        except (DvcException, OSError) as error:
            raise StoreError(
                f"dvc push failed: {error}; run `dvc push` once it is mended"
            ) from error
