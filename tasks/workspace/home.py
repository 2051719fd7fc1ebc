"""A name and a home for users who have none: containers run as any number, without an entry in the
list of users, without HOME, or with one that cannot be written."""

import getpass
import os
import tempfile
from pathlib import Path

from tasks.workspace.errors import MachineError

CACHE, PREFECT = "XDG_CACHE_HOME", "PREFECT_HOME"


def settle_home() -> None:
    """Set the variables that name folders of the user, where what they name by default is missing
    or cannot be written. Everything that is started from here inherits them."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"
    try:
        home = Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(temporary_home())
        return
    if not os.access(home, os.W_OK):
        for variable, folder in ((CACHE, ".cache"), (PREFECT, ".prefect")):
            if variable not in os.environ and not os.access(home / folder, os.W_OK):
                os.environ[variable] = str(temporary_home() / folder)


def cache_folder() -> Path:
    """Where what belongs to no workspace is kept."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache") / "inspectline"


def temporary_home() -> Path:
    """A folder of this user alone below the machine's temporary folder."""
    folder = Path(tempfile.gettempdir()) / f"inspectline-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise MachineError(f"{folder} is not yours; set HOME to a folder that is")
    return folder
