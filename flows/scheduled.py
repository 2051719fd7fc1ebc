"""The flow of the deployment: run the line for some products when the workspace is free."""

import time
from pathlib import Path

from prefect import flow

from flows.prefect_server.notify import notify
from flows.run import run_line
from tasks.workspace.errors import BusyError, CellError, LineError
from tasks.workspace.paths import Workspace
from tasks.workspace.secrets import guard_output

LOOK = 15.0  # seconds between attempts if another run holds the workspace


@flow(name="inspectline-run", flow_run_name="{reason}", log_prints=True)
def scheduled(workspace: str, products: list[str] | None = None, reason: str = "by hand") -> None:
    """Run the line for these products, or for all products of the workspace."""
    guard_output()
    root = Workspace(Path(workspace))
    while True:
        try:
            whole = run_line(root, products or [], None)
            break
        except BusyError as error:
            print(error)
            time.sleep(LOOK)
        except LineError as error:
            notify(root, [("failed", f"failed: {reason}: {error}")])
            raise
    if not whole:
        raise CellError("something failed; the tasks of this run and its report say what")
