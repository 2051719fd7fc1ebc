"""The device of a cell: asked for, found, or an error that says what to write."""

import pytest
import torch

from tasks.models.device import ENVIRONMENT, choose_device, training_precision
from tasks.workspace.errors import SpecError


@pytest.fixture(autouse=True)
def no_wish(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@pytest.mark.parametrize(("count", "found"), [(0, "cpu"), (2, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, count, found):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert choose_device("auto").type == found


def test_the_environment_is_stronger(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, "cpu")
    assert choose_device("cuda").type == "cpu"


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("cuda", "torch sees 0 GPUs here"),
        ("cuda:3", "torch sees 0 GPUs here"),
        ("gpu", "'gpu' is not a device"),
        ("meta", "'meta' is not supported"),
    ],
)
def test_a_device_that_is_not_there(monkeypatch, device, says):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SpecError, match=says):
        choose_device(device)


@pytest.mark.parametrize(
    ("wanted", "units", "given"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
    ],
)
def test_precision_follows_the_device_unless_told(monkeypatch, wanted, units, given):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units})
    assert training_precision(wanted, torch.device("cpu")) == given
    capability = (9, 0) if units else (7, 5)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert training_precision(wanted, torch.device("cuda:0")) == given
