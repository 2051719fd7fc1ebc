"""What a sink is, and the one that an address means."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from tasks.sinks.outbox import Message
from tasks.spec.schema import Sink as SinkSpec
from tasks.workspace.secrets import without_password


class Sink(Protocol):
    """Somebody who is sent results."""

    def send(self, messages: list[Message]) -> list[Message]:
        """Those that were acknowledged. AwayError where nobody takes them now, RefusedError where
        one of them will not be taken."""

    def close(self) -> None:
        """End what is open. The next result opens it again."""


def name_of(spec: SinkSpec) -> str:
    """The name under which the outbox keeps what a sink is sent: its address, and what tells it
    from others there."""
    other = spec.topic != SinkSpec.model_fields["topic"].default
    return without_password(spec.to) + f" {spec.topic}" * other


def named(specs: Iterable[SinkSpec]) -> dict[str, SinkSpec]:
    """Each sink by a name of its own: where the secret part of their addresses alone tells them
    apart, as `?line=1`, a hash of it does."""
    found: dict[str, SinkSpec] = {}
    for spec in specs:
        name = name_of(spec)
        if name in found and found[name] != spec:
            name += f" {hashlib.sha256(spec.to.encode()).hexdigest()[:8]}"
        found[name] = spec
    return found


def is_folder(spec: SinkSpec) -> bool:
    """Whether results go into a folder of this machine, with their images."""
    return "://" not in spec.to


def open_sink(spec: SinkSpec) -> Sink:
    """The sink at an address of a network; nothing is asked yet."""
    if spec.to.startswith("mqtt"):
        from tasks.sinks.mqtt import MqttSink

        return MqttSink(spec)
    from tasks.sinks.webhook import WebhookSink

    return WebhookSink(spec)


def folder_of(spec: SinkSpec, root: Path) -> Path:
    """The folder that a sink is; a relative one begins at the workspace, and ~ is the home."""
    return root / Path(spec.to).expanduser()
