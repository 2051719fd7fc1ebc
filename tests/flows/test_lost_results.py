"""No result is lost, and none comes twice, whatever is killed at the machine or at the broker."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from paho.mqtt.client import CallbackAPIVersion, Client

from tasks.sinks.outbox import Message
from tasks.sinks.sink import open_sink
from tasks.spec.schema import Sink
from tasks.workspace.errors import AwayError
from tests.flows.farm import until
from tests.flows.releases import made_release, picture
from tests.s3_servers import free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KILLS = 20
AMQTT = """
listeners: {{default: {{type: tcp, bind: "127.0.0.1:{port}"}}}}
plugins: {{amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}}}
"""
MOSQUITTO = "listener {port} 127.0.0.1\nallow_anonymous true\n"


@pytest.fixture(scope="module")
def broker_words(tmp_path_factory):
    """The command of a real broker on a port of its own, and the port."""
    folder, port = tmp_path_factory.mktemp("broker"), free_port()
    settings = folder / "settings"
    if found := shutil.which("mosquitto"):
        settings.write_text(MOSQUITTO.format(port=port))
        return [found, "-c", str(settings)], port
    settings = folder / "settings.yaml"
    settings.write_text(AMQTT.format(port=port))
    uv = Path(sys.executable).with_name("uv")  # amqtt wants other packages than we do
    for words in (
        ["venv", folder / "venv", "--python", sys.executable],
        ["pip", "install", "--python", folder / "venv/bin/python", "amqtt"],
    ):
        if (ended := subprocess.run([uv, *words], capture_output=True, check=False)).returncode:
            pytest.skip(f"no broker can be installed here: {ended.stderr.decode()[-300:]}")
    return [str(folder / "venv/bin/amqtt"), "-c", str(settings)], port


class Kept:
    """A process that is begun again where it was killed."""

    def __init__(self, words, folder, name):
        self.words, self.folder, self.log = list(map(str, words)), folder, folder / f"{name}.log"
        self.begin()

    def begin(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.words, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self):
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def answers(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def released(tmp_path):
    (tmp_path / "line").mkdir()
    return made_release(tmp_path / "line").root


@pytest.fixture
def processes(broker_words, released, tmp_path):
    """broker, subscriber and loop, which inspects `in` and is told what was heard."""
    words, port = broker_words
    (tmp_path / "in").mkdir()
    subscriber = [sys.executable, ROOT / "docs/examples/subscribe.py", "127.0.0.1", port]
    loop = [sys.executable, "-m", "flows.cli", "-w", released, "inspect", "plate", "in"]
    loop += ["--sink", f"mqtt://127.0.0.1:{port}", "--confirm", "--settle", "0.1"]
    running = {"broker": Kept(words, tmp_path, "broker")}
    until(lambda: answers(port), "the broker answers", 60)
    running["subscriber"] = Kept([*subscriber, "inspectline/+", "heard"], tmp_path, "subscriber")
    running["loop"] = Kept([*loop, "--part", r"_(?P<part>\d+)"], tmp_path, "loop")
    yield running
    for one in running.values():
        one.kill()


def heard(folder):
    """Parts, as often as the subscriber wrote them down."""
    found = []
    for line in (folder / "heard").read_text().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line)["part"])
    return found


@contextmanager
def listening(port, topic="inspectline/+"):
    """All that the broker passes on, repeats too."""
    got = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *told: got.append(told[2].payload)
    client.connect("127.0.0.1", port)
    client.subscribe(topic, qos=1)
    client.loop_start()
    try:
        yield got
    finally:
        client.loop_stop()
        client.disconnect()


def test_a_broker_acknowledges_on_a_topic_of_sparkplug(broker_words, tmp_path):
    words, port = broker_words
    address, topic = f"mqtt://127.0.0.1:{port}", "spBv1.0/plant/DDATA/line1/{product}"
    broker = Kept(words, tmp_path, "broker")
    until(lambda: answers(port), "the broker answers", 60)
    sink = open_sink(Sink(to=address, topic=topic))
    sent = [Message(1, "a", {"product": "plate", "part": "a"})]
    with listening(port, "spBv1.0/+/DDATA/+/plate") as got:
        assert sink.send(sent) == sent
        until(lambda: got, "it is passed on", 10)
        assert json.loads(got[0]) == sent[0].body
    with pytest.raises(AwayError, match="no subscriber confirms"):
        open_sink(Sink(to=address, confirm=True)).send(sent)
    broker.kill()
    with pytest.raises(AwayError):
        sink.send(sent)
    broker.begin()
    until(lambda: answers(port), "the broker answers", 60)
    assert sink.send(sent) == sent
    sink.close()
    broker.kill()


def test_every_part_is_told_once_where_a_side_is_killed(processes, broker_words, tmp_path):
    dice, parts = random.Random(7), []
    for _ in range(KILLS):
        for _ in range(3):
            parts.append(f"{len(parts):04d}")
            part = picture(tmp_path / f"new_{parts[-1]}.png", dice.choice((20, 220)))
            part.rename(tmp_path / "in" / part.name)
        time.sleep(dice.uniform(0.0, 3.0))
        killed = processes[dice.choice(("broker", "loop", "loop", "subscriber"))]
        killed.kill()
        time.sleep(dice.uniform(0.0, 1.0))
        killed.begin()
    until(lambda: set(heard(tmp_path)) >= set(parts), "all are heard", 180)
    assert sorted(heard(tmp_path)) == parts
    with listening(broker_words[1]) as repeats:
        processes["loop"].kill()
        processes["loop"].begin()
        time.sleep(6)
    assert repeats == []  # what was acknowledged is not sent again
    log = (tmp_path / "loop.log").read_text()
    assert log.count("plate: padim") > 5 and "Traceback" not in log, log[-3000:]


def test_every_part_is_posted_once_where_a_side_is_killed(released, tmp_path):
    """The loop and the receiver of a webhook are killed in turn: each part is written down once."""
    dice, parts, port = random.Random(11), [], free_port()
    (tmp_path / "in").mkdir()
    receiver = [sys.executable, ROOT / "docs/examples/receive.py", port, "posted.jsonl"]
    loop = [sys.executable, "-m", "flows.cli", "-w", released, "inspect", "plate", "in"]
    loop += ["--sink", f"http://127.0.0.1:{port}/results", "--settle", "0.1"]
    loop += ["--part", r"_(?P<part>\d+)"]
    running = [Kept(receiver, tmp_path, "receiver"), Kept(loop, tmp_path, "loop")]
    try:
        for _ in range(KILLS):
            for _ in range(3):
                parts.append(f"{len(parts):04d}")
                part = picture(tmp_path / f"new_{parts[-1]}.png", dice.choice((20, 220)))
                part.rename(tmp_path / "in" / part.name)
            time.sleep(dice.uniform(0.0, 3.0))
            killed = running[dice.choice((0, 1, 1))]
            killed.kill()
            time.sleep(dice.uniform(0.0, 1.0))
            killed.begin()
        until(lambda: set(posted(tmp_path)) >= set(parts), "all are posted", 180)
        assert sorted(posted(tmp_path)) == parts
    finally:
        for one in running:
            one.kill()
    log = (tmp_path / "loop.log").read_text()
    assert log.count("plate: padim") > 2 and "Traceback" not in log, log[-3000:]


def posted(folder):
    """Parts, as often as the receiver wrote them down."""
    found = []
    for line in (folder / "posted.jsonl").read_text().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line)["result"]["part"])
    return found


def test_what_a_client_has_was_told_although_the_service_was_killed(
    broker_words, released, tmp_path
):
    words, port = broker_words
    service, answered, dice = free_port(), [], random.Random(8)
    subscriber = [sys.executable, ROOT / "docs/examples/subscribe.py", "127.0.0.1", port]
    serve = [sys.executable, "-m", "flows.cli", "-w", released, "serve", "plate"]
    serve += ["--port", service, "--sink", f"mqtt://127.0.0.1:{port}", "--confirm"]
    running = [
        Kept(words, tmp_path, "broker"),
        Kept([*subscriber, "inspectline/+", "heard"], tmp_path, "subscriber"),
        Kept(serve, tmp_path, "serve"),
    ]
    image = (released / "dark.png").read_bytes()
    try:
        for number in range(60):
            until(lambda: answers(service), "the service answers", 60)
            killer = threading.Timer(dice.uniform(0, 0.1), running[2].kill)
            if number % 10 == 9:
                killer.start()
            with suppress(httpx.HTTPError):
                address = f"http://127.0.0.1:{service}/products/plate/inspect"
                answer = httpx.post(address, content=image, params={"part": f"{number:04d}"})
                answered += [answer.json()["part"]] * answer.is_success
            if killer.ident is not None:
                killer.join()
                running[2].begin()
        until(lambda: set(heard(tmp_path)) >= set(answered), "all answers are heard", 120)
    finally:
        for one in running:
            one.kill()
    assert len(answered) >= 50 and len(set(heard(tmp_path))) == len(heard(tmp_path))
