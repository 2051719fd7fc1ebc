"""The environment of a fit: a device, a checkpoint file, a progress callback, a way to stop."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from ad_models.errors import Cancelled, CheckpointError


class Progress(NamedTuple):
    stage: str
    epoch: int
    epochs: int
    step: int
    steps: int | None  # None where the loader has no length
    metrics: dict[str, float]

    @property
    def fraction(self) -> float:
        """Share of this stage that is done, 0 to 1."""
        return (self.epoch - 1 + (self.step / self.steps if self.steps else 0)) / self.epochs


@dataclass
class Run:
    """Pass it to `fit`: `Run(torch.device("cuda"), report=print)`. `identity` identifies the
    algorithm, its settings and its data: a checkpoint is only resumed by a run of the same
    identity."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint: Path | None = None  # None: neither save nor resume
    identity: str = ""
    report: Callable[[Progress], None] = lambda progress: None
    should_stop: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda text: (
        None
    )  # called once with a text, for example the expected memory
    precision: torch.dtype = torch.float32  # of the networks in training; see `mixed`
    report_every: float = 1.0  # seconds
    save_every: float = 60.0  # seconds at most; the last epoch of a stage is always saved
    taken: dict[str, int] = field(default_factory=dict)  # stage -> steps of its optimisers
    _at: tuple[str, int, int] = ("learn", 1, 1)  # stage, epoch, epochs
    _metrics: dict[str, Tensor] = field(default_factory=dict)
    _reported: float = 0.0
    _saved: float = field(default_factory=time.monotonic)
    _cost: float = 0.0  # seconds of the last save
    _stored: set[str] = field(default_factory=set)  # stages in the checkpoint

    def __post_init__(self) -> None:
        self.device = torch.device(self.device)  # "cuda" as well

    @property
    def folder(self) -> Path | None:
        """The folder for large temporary files; None: any folder."""
        return self.checkpoint.parent if self.checkpoint else None

    def log(self, **metrics: Any) -> None:
        """Set the numbers of the next report. Tensors are read only then, to avoid GPU
        synchronisation."""
        self._metrics.update({k: torch.as_tensor(v).detach() for k, v in metrics.items()})

    def steps(self, loader: Iterable) -> Iterator:
        """Yield each batch on the device; stop before it if requested, report after it."""
        total = len(loader) if isinstance(loader, Sized) else None
        for step, batch in enumerate(loader, start=1):
            self._stop_if_asked(step)
            yield batch.to(self.device)
            self._tell(step, total)

    def trained(self) -> dict[str, int]:
        """Steps by stage, of the stages that train; empty where nothing was trained."""
        return {stage: steps for stage, steps in self.taken.items() if steps}

    def mixed(self, network: Callable, *inputs: Any) -> Any:
        """The output of `network` for `inputs` in a training step: convolutions and products in
        `precision`, the result in float32, so that losses keep their precision."""
        if self.precision == torch.float32:
            return network(*inputs)
        with torch.autocast(self.device.type, self.precision):
            return _floats(network(*inputs))

    def tick(self, stage: str) -> Callable[[int, int], None]:
        """A `tick(done, total)` callback for work without batches, such as a coreset."""
        self._at = (stage, 1, 1)

        def tick(done: int, total: int) -> None:
            self._stop_if_asked(done)
            self._tell(done, total)

        return tick

    def epochs(self, count: int, *changing: Any, stage: str = "learn") -> Iterator[int]:
        """Yield the remaining epochs, and save `changing` (modules, optimisers) on disk. The steps
        of the optimisers are counted in `taken`, those before a stop too."""
        done = self._restore(stage, changing)
        self._count(stage, [one for one in changing if isinstance(one, Optimizer)])
        for epoch in range(done, count):
            self._at = (stage, epoch + 1, count)
            yield epoch
            # save often if saving is fast, for a twentieth of the time: then a stop costs
            # little more than the running epoch
            due = min(self.save_every, 20 * self._cost)
            if epoch + 1 == count or time.monotonic() - self._saved >= due:
                self._save(stage, epoch + 1, changing)

    def _count(self, stage: str, optimisers: list[Optimizer]) -> None:
        """From now on, count the steps of a stage. Where two optimisers take turns, they are those
        of the one that takes more."""
        before, each = self.taken[stage], [0] * len(optimisers)

        def counted(number: int) -> Callable[..., None]:
            def count(*_: Any) -> None:
                each[number] += 1
                self.taken[stage] = before + max(each)

            return count

        for number, optimiser in enumerate(optimisers):
            optimiser.register_step_post_hook(counted(number))

    def _stop_if_asked(self, step: int) -> None:
        if self.should_stop():
            stage, epoch, _ = self._at
            raise Cancelled(f"stopped in {stage}, epoch {epoch}, step {step}")

    def _tell(self, step: int, total: int | None) -> None:
        if time.monotonic() - self._reported >= self.report_every or step == total:
            metrics = {name: float(value) for name, value in self._metrics.items()}
            self.report(Progress(*self._at, step, total, metrics))
            self._reported = time.monotonic()

    def _read(self) -> dict:
        if self.checkpoint is None or not self.checkpoint.exists():
            return self._empty()
        saved = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        if saved["identity"] != self.identity:
            raise CheckpointError(
                f"{self.checkpoint} belongs to another fit (other data, parameters or code); "
                "delete it to start again"
            )
        return saved

    def _empty(self) -> dict:
        return {"identity": self.identity, "stages": {}}

    def _restore(self, stage: str, changing: tuple) -> int:
        stages = self._read()["stages"]
        self._stored = set(stages)
        saved = stages.get(stage)
        self.taken[stage] = saved.get("taken", 0) if saved else 0
        if saved is None:
            return 0
        for thing, state in zip(changing, saved["states"], strict=True):
            thing.load_state_dict(state)
        torch.set_rng_state(saved["rng"].cpu())
        if (
            self.device.type == "cuda" and "cuda_rng" in saved
        ):  # missing if the fit started on a CPU
            torch.cuda.set_rng_state(saved["cuda_rng"].cpu(), self.device)
        return saved["done"]

    def _save(self, stage: str, done: int, changing: tuple) -> None:
        if self.checkpoint is None:
            return
        started = time.monotonic()
        states = [thing.state_dict() for thing in changing]
        entry = {"done": done, "states": states, "taken": self.taken[stage]}
        entry["rng"] = torch.get_rng_state()
        if self.device.type == "cuda":
            entry["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        # reading takes as long as writing: only where another stage is to be kept
        saved = self._read() if self._stored - {stage} else self._empty()
        saved["stages"][stage] = entry
        self._stored.add(stage)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(saved, partial)
        partial.replace(self.checkpoint)  # atomic: a crash leaves the old checkpoint whole
        self._saved = time.monotonic()
        self._cost = self._saved - started


def _floats(found: Any) -> Any:
    """Tensors, in lists and tuples at any depth, as float32."""
    if isinstance(found, Tensor):
        return found.float()
    return type(found)(_floats(part) for part in found)
