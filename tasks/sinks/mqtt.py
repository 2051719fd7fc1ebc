"""Results for an MQTT broker, with quality of service 1: published until they are acknowledged.

A broker that acknowledges has the duty to keep. Not every one survives a kill with all that it
holds: with `confirm` a result counts as sent once a subscriber has published its key on TOPIC/ack.
"""

import json
import os
import threading
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from tasks.sinks.outbox import Message
from tasks.spec.schema import Sink as SinkSpec
from tasks.workspace.errors import AwayError
from tasks.workspace.extras import require

PATIENCE = 5.0  # seconds for a connection, for an acknowledgement, for a confirmation
MOST = 10_000  # confirmations that are kept
ACK = "ack"  # the last level of the topic on which subscribers confirm
PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttSink:
    def __init__(self, spec: SinkSpec) -> None:
        self._paho = require("paho.mqtt.client")
        self._address = urlsplit(spec.to)
        self._topic = spec.topic
        self._confirm = spec.confirm
        self._password = os.environ.get(spec.password) or unquote(self._address.password or "")
        self._client: Any = None
        self._change = threading.Condition()
        self._connected = False
        self._confirmed: set[str] = set()
        self._topics: set[str] = set()  # of which confirmations are heard

    def send(self, messages: list[Message]) -> list[Message]:
        """Publish them, and wait for what acknowledges them."""
        try:
            self._open()
            if self._confirm:
                self._listen({self._topic_of(one) for one in messages})
            sent = [(one, self._publish(one)) for one in messages]
            until = time.monotonic() + PATIENCE
            for _, info in sent:
                info.wait_for_publish(max(0.0, until - time.monotonic()))
            done = [one for one, info in sent if info.is_published()]
        except (OSError, ValueError, RuntimeError) as error:
            raise AwayError(f"the broker does not take it ({error})") from error
        if self._confirm:
            done = self._wait_confirmed(done)
        if not done:
            who = "no subscriber confirms" if self._confirm else "the broker acknowledges nothing"
            raise AwayError(who)
        return done

    def close(self) -> None:
        """End the connection; what was not acknowledged is published again on the next one."""
        client, self._client = self._client, None
        self._connected = False
        self._topics.clear()
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _open(self) -> None:
        if self._client is not None and self._connected:
            return
        self.close()
        version = self._paho.CallbackAPIVersion.VERSION2
        self._client = client = self._paho.Client(version, reconnect_on_failure=False)
        address = self._address
        if address.username:
            client.username_pw_set(unquote(address.username), self._password or None)
        if address.scheme == "mqtts":
            client.tls_set()
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message = self._on_message
        client.connect_timeout = PATIENCE
        client.connect(address.hostname, address.port or PORTS[address.scheme], keepalive=30)
        client.loop_start()
        with self._change:
            if not self._change.wait_for(lambda: self._connected, PATIENCE):
                raise OSError("it lets nobody in")

    def _publish(self, message: Message) -> Any:
        body = json.dumps(message.body, allow_nan=False)
        return self._client.publish(self._topic_of(message), body, qos=1)

    def _topic_of(self, message: Message) -> str:
        return self._topic.format(product=message.body["product"])

    def _listen(self, topics: set[str]) -> None:
        for topic in topics - self._topics:
            self._client.subscribe(f"{topic}/{ACK}", qos=1)
            self._topics.add(topic)

    def _wait_confirmed(self, messages: list[Message]) -> list[Message]:
        wanted = {one.key for one in messages}
        with self._change:
            self._change.wait_for(lambda: wanted <= self._confirmed, PATIENCE)
            done = [one for one in messages if one.key in self._confirmed]
            self._confirmed -= wanted
        return done

    def _on_connect(self, _: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
        with self._change:
            self._connected = not code.is_failure
            self._change.notify_all()

    def _on_disconnect(self, client: Any, *_: Any) -> None:
        with self._change:
            if client is self._client:
                self._connected = False
            self._change.notify_all()

    def _on_message(self, _: Any, __: Any, message: Any) -> None:
        with self._change:
            if len(self._confirmed) > MOST:  # of other machines on the same topic
                self._confirmed.clear()
            self._confirmed.add(message.payload.decode(errors="replace"))
            self._change.notify_all()
