"""Errors of a DVC remote, in one line: DVC passes on whatever the remote's client raises."""

from tasks.workspace.errors import AwayError, LineError, MachineError, StoreError
from tasks.workspace.files import disk_full

LONGEST = 500  # characters of a reason


def remote_error(error: Exception, what: str) -> LineError:
    """The error to tell of one that came up in `dvc push` or `dvc pull` (`what`)."""
    if isinstance(error, LineError):
        return error
    if disk_full(error):
        return MachineError(f"dvc {what}: no space left on the disk; make room")
    reason = " ".join(str(error).split())[:LONGEST] or type(error).__name__
    if isinstance(error, PermissionError):
        return StoreError(f"the DVC remote refuses a {what}: {reason}")
    return AwayError(f"dvc {what} failed: {reason}; run `dvc {what}` once it is fixed")
