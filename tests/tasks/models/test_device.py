"""The device of a cell: asked for, found, or an error that says what to write."""

import os
import sys

import pytest
import torch

from tasks.models import device as devices
from tasks.models.device import ENVIRONMENT, choose_device, device_name, training_precision
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


@pytest.mark.parametrize("driver", [True, False])
def test_the_name_of_a_device_is_that_of_the_chosen_one(monkeypatch, driver):
    monkeypatch.setattr(devices, "may_have_gpu", lambda: driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: driver)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(driver))
    assert device_name("auto") == ("cuda" if driver else "cpu")
    assert device_name("cpu") == "cpu"
    with pytest.raises(SpecError, match="'gpu' is not a device"):
        device_name("gpu")
    monkeypatch.setenv(ENVIRONMENT, "cpu")
    assert device_name("cuda") == "cpu"


def test_where_torch_finds_a_gpu_there_may_be_one():
    assert devices.may_have_gpu() or not torch.cuda.is_available()


def test_a_model_has_the_threads_of_torch_or_those_asked_for(monkeypatch):
    assert devices.cpu_threads() == torch.get_num_threads()
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert devices.cpu_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= devices.cpu_threads() <= (os.cpu_count() or 1)


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
