"""Memory of a fit: how much it may use, how much it uses, and both as text."""

import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path

import torch

from ad_models.errors import InputError
from ad_models.run import Run

GB = 10**9
UNKNOWN = 8 * GB  # if the system does not report its memory
SMALLER = "let the images be smaller or in tiles"  # what helps in any case


def allowance(gigabytes: float | None, device: torch.device) -> int:
    """Bytes that may be used: the given number, or half of the free memory on `device`."""
    return int(gigabytes * GB) if gigabytes else free(device) // 2


def free(device: torch.device, root: Path = Path("/")) -> int:
    """Free bytes on `device`. On a CPU: the minimum of the free memory of the system and of the
    control groups (containers, batch systems) of this process; file caches that can be dropped
    count as free.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min([_system(root), *_groups(root)])


def require_memory(run: Run, what: str, taken: int, remedy: str = SMALLER) -> None:
    """Announce that a fit will use `taken` bytes; an error if they are not free."""
    left = free(run.device)
    run.say(f"{what}: {size(taken)} of {size(left)} free")
    if taken > left:
        raise InputError(f"{what} take {size(taken)}, and {size(left)} is free; {remedy}")


def announced(loader: Iterable, first: torch.Tensor) -> int:
    """Number of images of a loader, from its first batch (B, 3, H, W); 0 if it has no length."""
    return len(first) * len(loader) if isinstance(loader, Sized) else 0


def disk(folder: Path | None = None, root: Path = Path("/")) -> tuple[Path, int] | None:
    """`folder`, or the one for temporary files, and the bytes that may be used: half of the free
    space. None if the folder is itself in memory."""
    folder = (folder or Path(tempfile.gettempdir())).resolve()
    try:
        rows = [row.split() for row in (root / "proc/mounts").read_text().splitlines()]
    except OSError:
        rows = []
    mounts = {Path(row[1]): row[2] for row in rows}
    mount = next((mounts[place] for place in (folder, *folder.parents) if place in mounts), "")
    return None if mount in ("tmpfs", "ramfs") else (folder, shutil.disk_usage(folder).free // 2)


def peak(device: torch.device) -> int:
    """Peak bytes so far: of tensors on a GPU, otherwise of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def size(count: float) -> str:
    """Bytes as readable text."""
    return f"{count / GB:.1f} GB" if count >= GB else f"{count / 10**6:.3g} MB"


def duration(seconds: float) -> str:
    """Seconds as readable text."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _system(root: Path) -> int:
    try:
        rows = (root / "proc/meminfo").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("MemAvailable"))
    except (OSError, StopIteration):
        names = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in names:
            return UNKNOWN
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _groups(root: Path) -> Iterator[int]:
    """Free memory of each control group of this process, for both versions."""
    try:
        rows = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for row in rows:
        _, kinds, path = row.split(":", 2)
        if kinds == "":
            base = root / "sys/fs/cgroup"
            limit, used, cached = "memory.max", "memory.current", "inactive_file"
        elif kinds == "memory":
            base = root / "sys/fs/cgroup/memory"
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            cached = "total_inactive_file"
        else:
            continue
        group = base / path.strip("/")
        while True:  # a container may see its own group as the root, whatever its path says
            yield from _left(group, limit, used, cached)
            if group in (base, root):
                break
            group = group.parent


def _left(group: Path, limit: str, used: str, cached: str) -> Iterator[int]:
    try:
        most, taken = (group / limit).read_text().strip(), int((group / used).read_text())
        if most == "max":
            return
        rows = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return
    stat = dict(row.split() for row in rows)
    yield max(0, int(most) - taken + int(stat.get(cached, 0)))
