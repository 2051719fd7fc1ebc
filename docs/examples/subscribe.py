"""Hear the results of a line: each part once, whatever was sent twice.

python subscribe.py HOST PORT TOPIC FILE    # TOPIC such as inspectline/+

Needs paho-mqtt. What was heard is appended to FILE, a line of JSON for each inspection, and is
confirmed on TOPIC/ack once it is there: with `confirm` a line sends a result until it hears that.
"""

import json
import os
import sys
from contextlib import suppress
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client


def main(host: str, port: str, topic: str, path: str) -> None:
    with open(path, "a+") as file:
        known = known_in(file)
        file.write("\n")  # after a line that a kill tore
        listen(host, int(port), topic, known, file)


def listen(host: str, port: int, topic: str, known: set[str], file: Any) -> None:
    """Append what is heard and not known yet, for ever."""

    def connected(client: Client, *_: Any) -> None:
        client.subscribe(topic, qos=1)

    def heard(client: Client, _: Any, message: Any) -> None:
        result = json.loads(message.payload)
        key = key_of(result)
        if key not in known:
            file.write(json.dumps(result) + "\n")
            file.flush()
            os.fsync(file.fileno())
            known.add(key)
        client.publish(f"{message.topic}/ack", key, qos=1)

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect, client.on_message = connected, heard
    client.reconnect_delay_set(1, 5)
    client.connect_async(host, port)
    client.loop_forever(retry_first_connection=True)


def known_in(file: Any) -> set[str]:
    """Keys of what the file holds."""
    file.seek(0)
    keys = set()
    for line in file:
        with suppress(ValueError):  # torn, or empty
            keys.add(key_of(json.loads(line)))
    return keys


def key_of(result: dict[str, Any]) -> str:
    """What tells an inspection from all others."""
    return f"{result['product']}/{result['part']}/{result['sha256']}"


if __name__ == "__main__":
    main(*sys.argv[1:])
