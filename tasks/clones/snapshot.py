"""A workspace's present state as a commit that other clones can check out.

The commit holds the working tree as it is: specs that were edited count, whether they are
committed or not. It stands under a ref of its own; branch, index and history of the workspace
are not touched.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tasks.workspace.errors import WorkspaceError
from tasks.workspace.git import git
from tasks.workspace.names import safe_name
from tasks.workspace.paths import Workspace

REFS = "refs/inspectline"
LINE = ("params.yaml", "dvc.yaml", "dvc.lock", ".dvc", ".dvcignore", ".gitignore", "data")
IDENTITY = {
    f"GIT_{role}_{what}": "inspectline"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}


def remote_url(workspace: Workspace, remote: str) -> str:
    """Address of the git remote, without a password that somebody put into it."""
    try:
        url = git(workspace.root, "remote", "get-url", remote)
    except WorkspaceError as error:
        raise WorkspaceError(
            f"{workspace.root} has no git remote '{remote}', where workers on other machines "
            f"fetch what they train from; `git remote add {remote} URL`, or name another one in "
            "line.workers.git of params.yaml"
        ) from error
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return url


def push_snapshot(workspace: Workspace, remote: str, name: str) -> str:
    """The commit with the workspace as it is now, pushed to the remote as REFS/name."""
    root = workspace.root
    with tempfile.TemporaryDirectory(dir=workspace.scratch) as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
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
    """The commit the workspace stands on; empty before the first."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except WorkspaceError:
        return ""


def remove_refs(workspace: Workspace, remote: str, names: list[str]) -> None:
    """Remove refs that were made for a run."""
    git(workspace.root, "push", "--quiet", remote, *(f":{REFS}/{name}" for name in names))


def check_out(home: Path, url: str, name: str, commit: str) -> Workspace:
    """This machine's clone of the workspace at `url`, in the state of the commit.

    The clone lies in a folder of its own below `home`: what else is in it is thrown away.
    """
    root = home / clone_name(url)
    if not (root / ".git").is_dir():
        partial = root.with_name(f".{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True)
        git(home, "clone", "--quiet", "--no-checkout", url, str(partial))
        partial.replace(root)
    (root / ".git" / "index.lock").unlink(missing_ok=True)  # of one that was killed
    git(root, "fetch", "--quiet", "--no-tags", "--force", url, f"{REFS}/{name}")
    git(root, "checkout", "--quiet", "--force", "--detach", commit)
    git(root, "clean", "--quiet", "--force", "-d")  # what git ignores stays: cache, images, models
    workspace = Workspace(root)
    workspace.scratch.mkdir(exist_ok=True)
    return workspace


def clone_name(url: str) -> str:
    """Folder of a clone: the repository's name and a few digits that tell it from namesakes."""
    plain = safe_name(Path(urlsplit(url).path or url).stem) or "workspace"
    return f"{plain}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
