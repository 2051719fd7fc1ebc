"""After drift in production: tell the server and people, and start a run if useful."""

from collections.abc import Sequence

from flows.prefect_server.events import announce
from flows.prefect_server.names import DRIFTED, DUE
from flows.prefect_server.notify import notify
from tasks.monitoring.due import due, note_drift, read_drift
from tasks.monitoring.findings import Finding
from tasks.workspace.paths import Workspace


def report_drift(workspace: Workspace, product: str, findings: Sequence[Finding]) -> list[str]:
    """What was done, one line each. Drift that was already reported is not reported again.

    The drift is recorded last: if the server fails, the next call reports everything.
    """
    drifted = [one.name for one in findings if one.drifted]
    done = []
    if drifted and drifted != read_drift(workspace, product):
        text = f"{product}: {', '.join(drifted)} drifted"
        announce(workspace, {product: text}, DRIFTED)
        notify(workspace, [("drift", text)])
        done.append(f"announced: {text}")
    if drifted:
        reason = due(workspace, product, drifted=True)
        if reason:
            announce(workspace, {product: f"{product}: {reason}"}, DUE)
        done.append(f"announced a run: {reason}" if reason else "no run: nothing new to train on")
    note_drift(workspace, product, drifted)
    return done
