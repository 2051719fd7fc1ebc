"""Choose the device of a cell, and measure its memory."""

import ctypes
import os
import resource
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.workspace.errors import ExtraError, SpecError

DEVICES = "auto, cpu, cuda or cuda:N"
ENVIRONMENT = "INSPECTLINE_DEVICE"  # set by a GPU scheduler; overrides the setting
SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"  # of Linux

if TYPE_CHECKING:
    import torch


def device_name(device: str) -> str:
    """The name of `choose_device`; on a machine without a GPU it is found without torch, which
    takes seconds to import."""
    device = os.environ.get(ENVIRONMENT, device)
    if device == "cpu" or (device == "auto" and not may_have_gpu()):
        return "cpu"
    return str(choose_device(device))


def inspecting_device(device: str) -> str:
    """The device that a release inspects on: `auto` is the CPU where torch is not installed, for
    there the ONNX model needs nothing else. ExtraError where another one was asked for."""
    device = os.environ.get(ENVIRONMENT, device)
    if device == "cpu" or find_spec("torch"):
        return device_name(device)
    if device == "auto":
        return "cpu"
    raise ExtraError(
        f"device {device} needs torch; pip install 'inspectline[gpu]', or inspect with --device cpu"
    )


def may_have_gpu() -> bool:
    """False where torch cannot find a GPU: there is no driver for one."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()  # of AMD
    return True


def cpu_threads() -> int:
    """Threads of a model on the CPU: what torch was told, OMP_NUM_THREADS, or a thread for each
    physical core."""
    if told := sys.modules.get("torch"):
        return int(told.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(asked) if asked.isdigit() and int(asked) else physical_cores()


def physical_cores() -> int:
    """Physical cores that this process may use; logical ones where that is not known."""
    try:
        usable = os.sched_getaffinity(0)
        return len({Path(SIBLINGS.format(number)).read_text() for number in usable})
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def choose_device(device: str) -> "torch.device":
    """The device; `auto` is the first GPU if there is one. SpecError if the machine does not have
    it."""
    import torch

    device = os.environ.get(ENVIRONMENT, device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise SpecError(f"line.device: '{device}' is not a device; give {DEVICES}") from None
    if chosen.type not in ("cpu", "cuda"):
        raise SpecError(f"line.device: '{device}' is not supported; give {DEVICES}")
    count = torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        have = f"torch sees {count} GPU{'s' * (count != 1)} here"
        raise SpecError(f"line.device: {device}, but {have}; give {DEVICES}, or repair the driver")
    return chosen


def training_precision(wanted: str, device: "torch.device") -> "torch.dtype":
    """The precision for training; `auto` is bfloat16 if the device supports it in hardware."""
    import torch

    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if device.type == "cuda":
        gains = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        gains = torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.bfloat16 if gains else torch.float32


def peak_memory_mb(device: "torch.device") -> float:
    """Peak memory so far in MiB: of tensors on the GPU, otherwise of this process."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
