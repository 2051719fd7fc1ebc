"""What a sink is, and the one that an address means."""

from pathlib import Path
from typing import Protocol

from tasks.sinks.outbox import Message
from tasks.spec.schema import Sink as SinkSpec
from tasks.workspace.errors import DataError
from tasks.workspace.secrets import without_password


class Sink(Protocol):
    """Somebody who is sent results."""

    def send(self, messages: list[Message]) -> list[Message]:
        """Those that were acknowledged. AwayError where nobody takes them now."""

    def close(self) -> None:
        """End what is open. It may be sent to again, which opens it anew."""


def name_of(spec: SinkSpec) -> str:
    """The name under which the outbox keeps what a sink is sent."""
    return without_password(spec.to)


def is_folder(spec: SinkSpec) -> bool:
    """Whether results go into a folder of this machine, with their images."""
    return "://" not in spec.to


def open_sink(spec: SinkSpec) -> Sink:
    """The sink at an address; nothing is asked yet."""
    scheme = spec.to.partition("://")[0]
    if scheme in ("mqtt", "mqtts"):
        from tasks.sinks.mqtt import MqttSink

        return MqttSink(spec)
    if scheme in ("http", "https"):
        from tasks.sinks.webhook import WebhookSink

        return WebhookSink(spec)
    raise DataError(
        f"'{without_password(spec.to)}' is no sink; give mqtt://HOST, mqtts://HOST, http://..., "
        "https://... or a folder"
    )


def folder_of(spec: SinkSpec, root: Path) -> Path:
    """The folder that a sink is; a relative one begins at the workspace."""
    return root / spec.to
