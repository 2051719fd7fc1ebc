"""Names of a workspace and its pools on a Prefect server."""

from tasks.workspace.names import safe_name
from tasks.workspace.paths import Workspace

POOL = "inspectline"
LINE = "inspectline"  # the flow of a run
DUE = "inspectline.run.due"  # event for the automations; its payload has the reason
DRIFTED = "inspectline.drifted"  # event for any subscriber


def name_of(workspace: Workspace) -> str:
    """The name of a workspace on the server: its folder's name."""
    return safe_name(workspace.root.name)


CELLS = "inspectline-cells"  # the pool, and the flow whose runs are batches
CLONES = "INSPECTLINE_CLONES"  # environment: folder of a worker's clones
NAME = "INSPECTLINE_WORKER"  # environment: name of the worker
