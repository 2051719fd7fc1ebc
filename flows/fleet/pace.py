"""How long units take, and in which order and batches they go to workers.

The longest come first, and batches shrink towards the end (guided self-scheduling, Polychronopoulos
and Kuck 1987): each holds a share of the work that is left, so that all workers end at about the
same time. From one batch to the next a worker waits ten seconds or more: what is shorter than a
minute goes together.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from statistics import median

from tasks.build.records import Stage
from tasks.workspace.paths import CARD, Workspace

Unit = list[Stage]  # stages that must run on one machine, in this order
SHARES = 2.0  # batches of a worker that the work that is left would fill
SHORTEST = 60.0  # seconds of work, below which a batch is not worth what it costs
START = 5.0  # seconds that a unit takes beside its fit: processes, inputs, results
UNKNOWN = 10.0  # seconds of a fit of which nothing is known
TIMES = 3.0  # as long as expected: a worker that needs this hangs or is slow
LEAST = 300.0  # seconds, below which no worker is called slow


class Pace:
    """Seconds of units: measured in this run, or when the present models were fitted."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._known: dict[str, list[float]] = defaultdict(list)  # by algorithm, of this run
        self._cards: dict[Stage, float | None] = {}

    def learn(self, unit: Unit, seconds: float) -> None:
        """A unit took so long."""
        self._known[unit[-1].algorithm].append(seconds)

    def slow(self, unit: Unit) -> float | None:
        """Seconds after which a unit counts as hanging; None where its duration is not known."""
        expected = self._expected(unit)
        return None if expected is None else max(LEAST, TIMES * expected)

    def seconds(self, units: list[Unit]) -> Callable[[Unit], float]:
        """What each of the units takes; where nothing is known, as long as one of its algorithm or
        the others."""
        found = {id(unit): self._expected(unit) for unit in units}
        by_algorithm: dict[str, list[float]] = defaultdict(list)
        for unit in units:
            if (known := found[id(unit)]) is not None:
                by_algorithm[unit[-1].algorithm].append(known)
        usual = {name: median(values) for name, values in by_algorithm.items()}
        other = median(usual.values()) if usual else UNKNOWN

        def of(unit: Unit) -> float:
            known = found.get(id(unit))
            return usual.get(unit[-1].algorithm, other) if known is None else known

        return of

    def _expected(self, unit: Unit) -> float | None:
        fits = [self._fitted(stage) for stage in unit if stage.step == "fit"]
        before = [one for one in fits if one is not None]
        now = self._known.get(unit[-1].algorithm)
        known = [*([sum(before)] if before else []), *([median(now)] if now else [])]
        return max(known, default=None)

    def _fitted(self, stage: Stage) -> float | None:
        """Seconds that the model took which is there; None without one."""
        if stage not in self._cards:
            card = self.workspace.model(stage.product, stage.algorithm) / CARD
            try:
                said = json.loads(card.read_text())
                self._cards[stage] = said["fit_seconds"] + said.get("calibration_seconds", 0.0)
            except (OSError, ValueError, LookupError, TypeError):
                self._cards[stage] = None
        return self._cards[stage]


def batches(
    units: list[Unit], seconds: Callable[[Unit], float], workers: int, most: int
) -> list[list[Unit]]:
    """The units in batches of at most `most`, in the order in which workers should take them."""
    waiting = sorted(units, key=seconds, reverse=True)
    left = sum(seconds(unit) + START for unit in waiting)
    found: list[list[Unit]] = []
    share = load = 0.0
    for unit in waiting:
        takes = seconds(unit) + START
        if not found or len(found[-1]) >= most or load + takes > share:
            left -= load
            share = max(SHORTEST, left / (SHARES * workers if workers > 1 else 1.0))
            load = 0.0
            found.append([])
        found[-1].append(unit)
        load += takes
    return found
