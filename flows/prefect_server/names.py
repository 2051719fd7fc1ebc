"""Names under which a workspace and its pools are known on a Prefect server."""

from tasks.workspace.names import safe_name
from tasks.workspace.paths import Workspace

POOL = "inspectline"
DUE = "inspectline.run.due"  # for the automations; its payload says why
DRIFTED = "inspectline.drifted"  # for whoever listens


def name_of(workspace: Workspace) -> str:
    """What a workspace is called on the server: its folder's name."""
    return safe_name(workspace.root.name)


CELLS = "inspectline-cells"  # the pool, and the flow whose runs are batches
CLONES = "INSPECTLINE_CLONES"  # folder of a worker's clones
NAME = "INSPECTLINE_WORKER"  # what it is called
