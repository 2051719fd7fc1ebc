"""Events for a Prefect server: a run of a workspace is due."""

from typing import Any

from prefect.client.orchestration import get_client
from prefect.events import Event

from flows.prefect_server.names import DUE, name_of
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace


def announce(workspace: Workspace, reasons: dict[str, str], event: str = DUE) -> None:
    """Send an event for each product, with its reason; LineError if the server refuses.

    We post directly, not with Prefect's background client: a lost event would start no run.
    """
    events = [
        Event(event=event, resource=event_resource(workspace, product), payload={"reason": reason})
        for product, reason in reasons.items()
    ]
    body = [event.model_dump(mode="json") for event in events]
    with get_client(sync_client=True) as client:
        answer = client.request("POST", "/events", json=body)
        if answer.is_error:
            raise LineError(f"the Prefect server refused the event: {answer.status_code}")


def event_resource(workspace: Workspace, product: str) -> Any:
    return {"prefect.resource.id": f"inspectline.{name_of(workspace)}.{product}"}
