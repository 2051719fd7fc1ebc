"""Which device a cell runs on, and what it took."""

import os
import resource
import sys

import torch

ENVIRONMENT = "INSPECTLINE_DEVICE"  # set by whoever hands out GPUs; stronger than the setting


def choose(device: str) -> torch.device:
    """`auto` is the first GPU where there is one."""
    device = os.environ.get(ENVIRONMENT, device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held so far: of the GPU by tensors, otherwise of this process, MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
