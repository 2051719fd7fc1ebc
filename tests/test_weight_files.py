"""Without a network it is said in seconds; a proxy or mirror is asked instead of the hub."""

import socket
import threading
import time

import pytest

from ad_models import weight_files
from ad_models.errors import WeightsError
from ad_models.features import Pyramid
from ad_models.tokens import Tokens
from ad_models.weight_files import hub_unreachable, unreachable

VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT", "INSPECTLINE_WEIGHTS")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """Empty caches, and no word about the network in the environment."""
    for name in ("HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in (*VARIABLES, *PROXIES, *map(str.upper, PROXIES), "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port():
    """Of a server on this machine that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent(monkeypatch):
    """A network that swallows every packet: a connection neither comes nor fails."""
    over = threading.Event()
    monkeypatch.setattr(weight_files, "PATIENCE", 0.2)

    def wait(*_, **__):
        over.wait(60)
        raise TimeoutError

    monkeypatch.setattr("socket.create_connection", wait)
    yield
    over.set()


def builds():
    return {
        "a ViT": lambda: Tokens("vit_small_patch14_dinov2.lvd142m", ((0,),), 28),
        "a CNN of torchvision": lambda: Pyramid("resnet18", ("layer1",)),
        "a CNN of timm": lambda: Pyramid("resnet18.a1_in1k", ("layer1",)),
    }


@pytest.mark.parametrize("kind", builds())
def test_a_silent_network_is_told_at_once_with_variable_files_and_remedy(kind, silent):
    began = time.monotonic()
    with pytest.raises(WeightsError) as told:
        builds()[kind]()
    assert time.monotonic() - began < 30  # the network itself is built; no retries
    for word in ("cannot be had", "INSPECTLINE_WEIGHTS", "weights: random", "no answer in 0.2 s"):
        assert word in str(told.value)
    files = {"a ViT": "dinov2_vits14_pretrain.pth", "a CNN of torchvision": "resnet18-f37072fd.pth"}
    assert files.get(kind, "resnet18.a1_in1k.safetensors") in str(told.value)


@pytest.mark.parametrize("kind", ["a ViT", "a CNN of timm"])
def test_a_hub_that_must_not_be_asked_is_not(kind, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("socket.create_connection", None)  # a call of it fails
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        builds()[kind]()


def test_what_answers_can_be_reached(port, monkeypatch):
    assert unreachable(f"http://127.0.0.1:{port}/models") == ""
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert hub_unreachable() == ""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert hub_unreachable() == ""


def test_what_refuses_is_named(port):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    assert "127.0.0.1" in unreachable(f"http://127.0.0.1:{free}/models")


def test_a_proxy_is_asked_in_place_of_the_host(port, monkeypatch):
    hub = "https://hub.invalid/models"
    assert "hub.invalid" in unreachable(hub)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{port}")
    assert unreachable(hub) == ""
    monkeypatch.setenv("NO_PROXY", "hub.invalid")
    assert "hub.invalid" in unreachable(hub)
    monkeypatch.delenv("NO_PROXY")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{free}")
    assert "127.0.0.1" in unreachable(hub) and "secret" not in unreachable(hub)
