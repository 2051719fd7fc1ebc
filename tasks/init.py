"""Make a folder a workspace."""

from pathlib import Path

from tasks.build.graph import is_ours, sync
from tasks.spec.read import PARAMS, read_params
from tasks.workspace.errors import LineError, WorkspaceError
from tasks.workspace.files import write_text
from tasks.workspace.git import git, said
from tasks.workspace.paths import Workspace

# What commands of the line and of DVC write beside the images; `heat` and `log` by our examples.
IGNORED = (
    ".inspectline/",
    "/store/",
    "/report/",
    "/dvc_plots/",
    "/heat/",
    "/log/",
    ".*.partial",
)

BEGINS = (".dvc/.gitignore", ".dvc/config", ".dvcignore", ".gitignore", "params.yaml", "dvc.yaml")


def init(directory: Path) -> list[str]:
    """What was made; nothing that is there already is touched."""
    directory.mkdir(parents=True, exist_ok=True)
    root = directory.resolve()
    check_free(root)
    done = []
    if not (root / ".git").exists():
        around = hide_from_parent(root)
        git(root, "init", "--quiet")
        done.append("git repository")
        if around:
            done.append(f"a line in {around}, because git cannot add a repository inside another")
    if not (root / ".dvc").is_dir():
        make_dvc(root)
        done.append("DVC repository")
    if not (root / "params.yaml").exists():
        write_text(root / "params.yaml", PARAMS.read_text())
        done.append("params.yaml")
    (root / "data").mkdir(exist_ok=True)
    if ignore(root / ".gitignore"):
        done.append(".gitignore")
    done += [str(path.relative_to(root)) for path in sync(Workspace(root))]
    told = [f"made {name}" for name in done]
    return told + first_commit(root) if told else [f"{root} is a workspace already"]


def first_commit(root: Path) -> list[str]:
    """Commit what a new workspace holds, so that DVC's experiments and `git diff` have something to
    start from; how to do it where git does not, and nothing where there is a commit."""
    if said(root, "rev-parse", "--verify", "--quiet", "HEAD") is not None:
        return []
    try:
        git(root, "add", "--", *(name for name in BEGINS if (root / name).exists()))
        git(root, "commit", "--quiet", "--message", "A workspace of inspectline")
    except LineError:
        return [
            "not committed: git asks who you are; set user.name and user.email, then "
            "`git add -A && git commit -m 'A workspace of inspectline'`"
        ]
    return ["made the first commit"]


def hide_from_parent(root: Path) -> Path | None:
    """Have the git repository around a new workspace ignore it, without a change to its files: the
    file that says so; None where there is none around, or it ignores the folder already."""
    top = said(root, "rev-parse", "--show-toplevel")
    if top is None or said(root, "check-ignore", "--quiet", str(root)) is not None:
        return None
    path = Path(git(root, "rev-parse", "--path-format=absolute", "--git-path", "info/exclude"))
    line = "/" + root.relative_to(Path(top).resolve()).as_posix() + "/"
    lines = path.read_text().splitlines() if path.exists() else []
    if line in lines:
        return None
    write_text(path, "\n".join([*lines, line]) + "\n")
    return path


def check_free(root: Path) -> None:
    """Raise WorkspaceError where the folder is a DVC project of somebody's own."""
    graph = root / "dvc.yaml"
    if graph.exists() and not is_ours(graph):
        raise WorkspaceError(
            f"{graph} is not one that `inspectline sync` wrote: this is a DVC project of its own; "
            "make the workspace in a folder inside it or beside it, for example "
            f"`inspectline init {root / 'line'}`"
        )
    read_params(root)  # one of somebody's own has other keys, and says so


def make_dvc(root: Path) -> None:
    """`dvc init`, with everything that asks the internet turned off: a factory has none."""
    from dvc.logger import logging
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    repo = Repo.init(str(root))
    with repo.config.edit() as config:
        config["core"]["analytics"] = False
        config["core"]["check_update"] = False
    repo.close()


def ignore(path: Path) -> bool:
    """Have git ignore what is no part of the workspace's versions; whether a line was missing."""
    lines = path.read_text().splitlines() if path.exists() else []
    have = {line.strip("/") for line in lines}
    missing = [line for line in IGNORED if line.strip("/") not in have]
    if missing:
        write_text(path, "\n".join([*lines, *missing]) + "\n")
    return bool(missing)
