"""Which device a cell runs on, and what it took."""

import os
import resource
import sys

import torch

from tasks.workspace.errors import SpecError

DEVICES = "auto, cpu, cuda or cuda:N"
ENVIRONMENT = "INSPECTLINE_DEVICE"  # set by whoever hands out GPUs; stronger than the setting


def choose_device(device: str) -> torch.device:
    """`auto` is the first GPU where there is one; SpecError where the machine lacks the device."""
    device = os.environ.get(ENVIRONMENT, device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise SpecError(f"line.device: '{device}' is no device; give {DEVICES}") from None
    if chosen.type not in ("cpu", "cuda"):
        raise SpecError(f"line.device: '{device}' is not supported; give {DEVICES}")
    count = torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        have = f"torch sees {count} GPU{'s' * (count != 1)} here"
        raise SpecError(f"line.device: {device}, but {have}; give {DEVICES}, or mend the driver")
    return chosen


def training_precision(wanted: str, device: torch.device) -> torch.dtype:
    """What networks are trained in; `auto` is bfloat16 where the device has units for it."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if device.type == "cuda":
        gains = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        gains = torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.bfloat16 if gains else torch.float32


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far: of the GPU by tensors, otherwise of this process, MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
