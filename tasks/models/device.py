"""Choose the device of a cell, and measure its memory."""

import os
import resource
import sys

import torch

from tasks.workspace.errors import SpecError

DEVICES = "auto, cpu, cuda or cuda:N"
ENVIRONMENT = "INSPECTLINE_DEVICE"  # set by a GPU scheduler; overrides the setting


def choose_device(device: str) -> torch.device:
    """The device; `auto` is the first GPU if there is one. SpecError if the machine does not have
    it."""
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


def training_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The precision for training; `auto` is bfloat16 if the device supports it in hardware."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if device.type == "cuda":
        gains = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        gains = torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.bfloat16 if gains else torch.float32


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far in MiB: of tensors on the GPU, otherwise of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
