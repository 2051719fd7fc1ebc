"""A coreset of a stream in bounded memory.

If the projections of all rows fit, they are stored, and the coreset is one of all rows; the rows
themselves may be on disk. If they do not fit, or the work is too long, there are two stages: greedy
on each part, then on the rows that remain. If each part is within r of its kept rows, and those
within R of the coreset, all rows are within r + R, at most four times the optimum (twice by
Gonzalez, in each stage: Malkomes et al., NeurIPS 2015).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ad_models.budget import duration, size
from ad_models.coreset import cover, pace, project
from ad_models.errors import InputError
from ad_models.rows import InMemory, OnDisk, Rows

LONGEST = 2 * 10**13  # numbers to read; more takes many minutes on two cores
CANDIDATES = 4, 20  # for each row of the coreset, least and most, where there are two stages
FEWEST = 2  # and where memory is short


@dataclass(frozen=True)
class Plan:
    """How a coreset of `count` of `total` rows (total, dims) is chosen."""

    count: int
    total: int
    dims: int
    projected: int  # dims in which distances are taken
    capacity: int  # rows held at once; less than total: two stages
    folder: Path | None = None  # where rows lie on disk; None: in memory

    @property
    def stages(self) -> int:
        return 1 if self.capacity >= self.total else 2

    @property
    def share(self) -> float:
        """The share of each part that the first stage keeps."""
        return min(1.0, self.capacity / self.total)

    @property
    def bytes(self) -> int:
        """Largest memory in bytes, with the coreset and the rows it is chosen from."""
        narrow = min(self.dims, self.projected)
        apart = self.folder is not None or self.dims > self.projected  # from the rows
        row = 4 * narrow * apart + 4 * self.dims * (self.folder is None) + 24  # notes of greedy
        return self.capacity * row + 4 * self.count * self.dims

    def seconds(self, part: int, device: torch.device) -> float:
        """Seconds of both stages, for parts of `part` rows, at the speed of this machine."""
        dims = min(self.dims, self.projected)
        taken = float(self.capacity) * self.count * dims * pace(dims, self.capacity, device)
        if self.stages == 2:  # each row meets those of its part that are kept
            taken += float(part) * self.capacity * dims * pace(dims, part, device)
        return taken

    def prospect(self, patches: Tensor, each: float, working: int, room: int) -> str:
        """Expected time and memory of a fit as text. patches (B, P, dims): of images that took
        `each` seconds; working: bytes besides the stored rows; room: bytes that are allowed."""
        seconds = self.total // patches.shape[1] * each
        seconds += self.seconds(patches.shape[1], patches.device)
        way = "chosen from all" + (f", which wait in {self.folder}" if self.folder else "")
        if self.stages == 2:
            way = f"chosen from {self.capacity} candidates, a coreset of each image"
        return (
            f"a bank of {self.count} of {self.total} patches x {self.dims}, {way}: about "
            f"{duration(seconds)}, {size(self.bytes + working)} of the {size(room)} allowed"
        )


def plan(
    count: int,
    total: int,
    dims: int,
    projected: int,
    room: int,
    disk: tuple[Path, int] | None = None,
    two_stage: bool | None = None,
) -> Plan:
    """The most exact plan with at most `room` bytes of memory; an error if there is none.

    disk: a folder and the bytes that may be used. two_stage: None decides only by the amount of
    work, so that with enough memory every machine makes the same choice; False: never two.
    """
    narrow = min(dims, projected)
    whole = Plan(count, total, dims, projected, total)
    if not (two_stage or (two_stage is None and count * total * narrow > LONGEST)):
        if whole.bytes <= room:
            return whole
        if disk and replace(whole, folder=disk[0]).bytes <= room and 4 * total * dims <= disk[1]:
            return replace(whole, folder=disk[0])
    least = replace(whole, capacity=min(total, FEWEST * count))
    if least.bytes > room or two_stage is False:
        each = least.bytes / count  # of a row of the coreset, with its candidates
        if two_stage is False:
            wanted, ways = whole, "allow two stages (two_stage)"
        else:
            wanted, ways = least, f"keep at most {int(max(0, room) / each)} (bank_size)"
        raise InputError(
            f"to choose {count} of {total} patches x {dims} takes {size(wanted.bytes)}, and "
            f"{size(max(0, room))} may be taken; {ways}, allow more (memory_budget), or let the "
            "images be smaller or in tiles"
        )
    each = replace(least, count=0).bytes / least.capacity
    affordable = int((room - 4 * count * dims) / each)
    few, many = (times * count for times in CANDIDATES)
    useful = max(few, min(many, LONGEST // (count * narrow)))
    return replace(whole, capacity=min(total - 1, affordable, useful))


class Reservoir:
    """Add rows (n, dims) with `add`; `coreset` chooses. Distances are those of the projection.
    slack: largest distance of an added row from the stored rows.
    """

    def __init__(self, plan: Plan, seed: int, device: torch.device, slack: float = 0.0) -> None:
        self.plan, self.seed, self.share, self.slack = plan, seed, plan.share, slack
        self.seen = self.held = 0
        self.chosen = torch.empty(0, dtype=torch.long)  # numbers of the held rows in the coreset
        # Allocated once: growing would need twice the memory. Pages are used when they are filled.
        self.narrow = torch.empty(plan.capacity, min(plan.dims, plan.projected), device=device)
        self.rows: Rows
        if plan.folder is not None:
            self.rows = OnDisk(plan.folder, plan.dims, device)
        elif plan.dims > plan.projected:
            self.rows = InMemory(torch.empty(plan.capacity, plan.dims, device=device))
        else:
            self.rows = InMemory(self.narrow)

    def add(self, rows: Tensor) -> None:
        """Add a part (n, dims), or a coreset of it."""
        self.seen += len(rows)
        narrow = project(rows, self.plan.projected, self.seed)
        wanted = max(1, min(len(rows), int(self.share * len(rows))))
        if wanted < len(rows):
            kept, radius = cover(narrow, wanted, self.seed)
            kept = kept.to(rows.device)
            rows, narrow = rows[kept], narrow[kept]
            self.slack = max(self.slack, radius)
        half = -(-self.plan.capacity // 2)
        for start in range(0, len(rows), half):
            part = slice(start, start + half)
            if self.held + len(rows[part]) > self.plan.capacity:
                self._thin(self.plan.capacity // 2)
            end = self.held + len(rows[part])
            self.narrow[self.held : end] = narrow[part]
            self.rows.put(self.held, rows[part])
            self.held = end

    def coreset(
        self, count: int, tick: Callable[[int, int], None] = lambda done, total: None
    ) -> tuple[Tensor, float]:
        """Rows (count, dims) and their covering radius: an upper bound after two stages."""
        chosen, radius = cover(self.narrow[: self.held], count, self.seed, tick)
        self.chosen = chosen
        return self.rows.take(chosen), self.slack + radius

    def _thin(self, count: int) -> None:
        """There are more rows than announced: keep half of them, and half as many of the next."""
        chosen, radius = cover(self.narrow[: self.held], max(1, count), self.seed)
        self.narrow[: len(chosen)] = self.narrow[chosen.to(self.narrow.device)]
        self.rows.put(0, self.rows.take(chosen))
        self.held = len(chosen)
        self.share /= 2
        self.slack += radius
