"""The present state of a workspace as a commit that other clones can check out.

The commit holds the working tree as it is, including edited specs that are not committed. It has
its own ref. Branch, index and history of the workspace do not change.
"""

import hashlib
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from tasks.workspace.errors import WorkspaceError
from tasks.workspace.git import git
from tasks.workspace.names import safe_name
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder
from tasks.workspace.secrets import without_password

REFS = "refs/inspectline"
LINE = ("params.yaml", "dvc.yaml", "dvc.lock", ".dvc", ".dvcignore", ".gitignore", "data")
IDENTITY = {
    f"GIT_{role}_{what}": "inspectline"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def remote_url(workspace: Workspace, remote: str) -> str:
    """Address of the git remote, without a password."""
    try:
        url = git(workspace.root, "remote", "get-url", remote)
    except WorkspaceError as error:
        raise WorkspaceError(
            f"{workspace.root} has no git remote '{remote}', where workers on other machines "
            f"fetch what they train from; `git remote add {remote} URL`, or name another one in "
            "line.workers.git of params.yaml"
        ) from error
    return without_password(url)


def push_snapshot(workspace: Workspace, remote: str, name: str) -> str:
    """Push the workspace as it is now to the remote as REFS/name; the commit."""
    root = workspace.root
    with scratch_folder(workspace) as folder:
        index = {"GIT_INDEX_FILE": str(folder / "index")}
        parent = _head(root)
        if parent:
            git(root, "read-tree", parent, **index)
            git(root, "add", "--update", **index)
        git(root, "add", "--", *(path for path in LINE if (root / path).exists()), **index)
        tree = git(root, "write-tree", **index)
    parents = ("-p", parent) if parent else ()
    commit = git(root, "commit-tree", tree, *parents, "-m", f"inspectline {name}", **IDENTITY)
    git(root, "push", "--quiet", "--force", remote, f"{commit}:{REFS}/{name}")
    return commit


def _head(root: Path) -> str:
    """The current commit of the workspace; empty before the first."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except WorkspaceError:
        return ""


def remove_refs(workspace: Workspace, remote: str, names: list[str]) -> None:
    """Remove refs that a run created."""
    git(workspace.root, "push", "--quiet", remote, *(f":{REFS}/{name}" for name in names))


def check_out(home: Path, url: str, name: str, commit: str) -> Workspace:
    """This machine's clone of the workspace at `url`, checked out at the commit.

    The clone has its own folder below `home`. Other files in that folder are deleted.
    """
    root = home / clone_name(url)
    if not (root / ".git").is_dir():
        partial = root.with_name(f".{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        git(home, "clone", "--quiet", "--no-checkout", url, str(partial))
        partial.replace(root)
    (root / ".git" / "index.lock").unlink(missing_ok=True)  # left by a killed process
    git(root, "fetch", "--quiet", "--no-tags", "--force", url, f"{REFS}/{name}")
    git(root, "checkout", "--quiet", "--force", "--detach", commit)
    git(root, "clean", "--quiet", "--force", "-d")  # ignored files stay: cache, images, models
    workspace = Workspace(root)
    workspace.scratch.mkdir(exist_ok=True)
    return workspace


def clone_name(url: str) -> str:
    """Folder of a clone: the repository's name, and digits that distinguish repositories of the
    same name."""
    plain = safe_name(Path(urlsplit(url).path or url).stem) or "workspace"
    return f"{plain}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
