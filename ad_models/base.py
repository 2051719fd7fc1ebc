"""The common interface of all algorithms. An algorithm implements `Config`, `learn` and
`forward`."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ad_models.batch import Batch, batches
from ad_models.errors import ExportError, InputError, NotFittedError, UpdateError
from ad_models.run import Run

FORMAT = 1
Places = Sequence[Sequence[int]]  # for each group: numbers of its images in the order of `learn`
PIXELS = 2**20  # seen at once by a prediction: 16 images of 256 x 256, or one of 1024 x 1024


class Prediction(NamedTuple):
    """Larger is more anomalous; the scale is the algorithm's own."""

    score: Tensor  # (B,)
    map: Tensor  # (B, 1, H, W), at input resolution


def blocks(images: Tensor) -> tuple[Tensor, ...]:
    """Parts of images (B, C, H, W) whose features fit into memory, for any batch size."""
    return images.split(max(1, PIXELS // (images.shape[-2] * images.shape[-1])))


def cut_constants(model: Any) -> None:
    """Where a graph of onnx_ir takes a part of a constant, or turns it, store only the result."""
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    most = sys.maxsize  # numbers; without it large results are left out
    parts = ("Slice", "Transpose")
    fold_constants(model, output_size_limit=most, should_fold=lambda node: node.op_type in parts)
    remove_unused_nodes(model)


def require_folder(path: Path | str) -> None:
    """FileNotFoundError before work for a file whose folder does not exist."""
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {Path(path).parent}; make it first")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Use `seed` for random numbers inside the block; the caller's generators do not change."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


class unfilled(TorchFunctionMode):  # noqa: N801
    """As a context: parameters of modules that are built get no random numbers, for a file holds
    those that they take."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_) and isinstance(args[0], nn.Parameter):
            return args[0]
        return func(*args, **(kwargs or {}))


class Detector(nn.Module, ABC):
    """An anomaly detector: fit on normal images, then score any image.

    Every Config has a `seed`: it decides the initial weights and all random numbers of `learn`.
    """

    Config: ClassVar[type]
    needs_normals: ClassVar[bool] = False  # True: fit must be given images to calibrate on
    one_pass: ClassVar[bool] = False  # True: to fit again is cheap
    reads_once: ClassVar[bool] = (
        False  # True: learn goes through its loader once; none need be kept
    )
    exact_without: ClassVar[bool] = False  # True: `left_out` gives what a fit without them would
    fewest: ClassVar[int] = 1  # normal images that learn needs
    # The attribute with the frozen `Pyramid`, `Tokens` or `Turned` through which alone `learn`
    # reads images, so that they may be `Seen` (one_pass: in `forward` too). Empty: it needs pixels
    reads_features: ClassVar[str] = ""
    no_export: str = ""  # why ONNX export is impossible; empty if it is possible
    # Not empty: `learn` runs once over several products, which share what it learned; each only
    # calibrates, on `config.shots` images, and these parameters are its own. A plain tuple: the
    # build graph reads it without importing the algorithm.
    per_product: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """An algorithm without a docstring of its own has that of its file: paper and idea."""
        super().__init_subclass__(**options)
        cls.__doc__ = cls.__doc__ or sys.modules[cls.__module__].__doc__

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.fitted: Tensor
        self.register_buffer("fitted", torch.tensor(False))
        self.record: dict[str, float] = {}  # facts about the last fit

    @abstractmethod
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        """Learn from normal images. The algorithm has its own loops; see `Run`."""

    @abstractmethod
    def forward(self, images: Tensor) -> Prediction:
        """Score images (B, 3, H, W). Pure tensor code: this is what `export` traces."""

    def announce(self, images: int) -> None:
        """Told how many images `learn` will be given, by who knows it, before features of them are
        computed: few may be seen in more ways."""

    def learn_more(self, loader: Iterable[Batch], run: Run) -> None:
        """Implements `update`, if the algorithm supports it."""
        raise UpdateError(
            f"{type(self).__name__} cannot be updated; fit it again on all images, old and new"
        )

    def left_out(
        self, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Prediction] | None:
        """Predictions for the images that `learn` saw, group by group, each by the model without
        its group; call it right after `fit`. None: not possible here, fit again without them.

        loader: a batch for each group, groups of one size after each other. An image is in one
        group, with `exact_without` perhaps in one of each of several partitions.
        """
        return None

    def calibrate(self, normals: Iterable[Batch], run: Run) -> None:
        """Use normal images that `learn` did not see: a support set, map quantiles. Repeatable."""

    def reconstruct(self, images: Tensor) -> Tensor | None:
        """The reconstruction of images (B, 3, H, W), normalised like them; None if there is none.
        It is only for people: no score uses it.
        """
        return None

    @property
    def weights(self) -> str | None:
        """The source of the frozen backbone's weights; None without a backbone."""
        return next((str(m.source) for m in self.modules() if hasattr(m, "source")), None)

    def fit(
        self,
        loader: Iterable[Batch | Tensor],
        run: Run | None = None,
        normals: Iterable[Batch | Tensor] | None = None,
    ) -> Self:
        """Learn from `loader`, then calibrate on `normals` if given.

        Both yield float32 images (B, 3, H, W), normalised by `MEAN` and `STD`, or a `Batch` of
        them, and can be gone through more than once: a list, or a DataLoader.
        """
        if self.needs_normals and normals is None:
            raise InputError(f"{type(self).__name__} needs `normals`, images of the target product")
        run = run or Run()
        self.to(run.device).train()
        with seeded(self.config.seed):
            self.learn(batches(loader), run)
            self.eval()
            if normals is not None:
                self.calibrate(batches(normals), run)
        self.fitted.fill_(True)
        return self

    def update(self, loader: Iterable[Batch | Tensor], run: Run | None = None) -> Self:
        """Learn more normal images without the earlier ones. Scores change, so everything
        calibrated on scores must be repeated."""
        if not self.fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted; call fit() or load() first")
        run = run or Run()
        self.to(run.device).train()
        with seeded(self.config.seed):
            self.learn_more(batches(loader), run)
        self.eval()
        return self

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Prediction:
        """Score float32 images (B, 3, H, W) from any device."""
        if not self.fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted; call fit() or load() first")
        if getattr(images, "ndim", 0) != 4 or images.shape[1] != 3 or images.dtype != torch.float32:
            got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else ""
            raise InputError(
                "expected float32 images (B, 3, H, W), one batch of a loader at a time, got "
                f"{got or type(images).__name__}"
            )
        self.eval()
        found = [self(part.to(self.fitted.device)) for part in blocks(images)]
        return Prediction(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    @torch.inference_mode()
    def reconstruction(self, images: Tensor) -> Tensor | None:
        """`reconstruct` of images from any device, in parts that fit into memory."""
        if not self.fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted; call fit() or load() first")
        self.eval()
        made = [self.reconstruct(part.to(self.fitted.device)) for part in blocks(images)]
        parts = [part for part in made if part is not None]
        return torch.cat(parts) if parts else None

    def save(self, path: Path | str) -> None:
        """Write all data for `load` as safetensors: numbers and JSON, no code."""
        if not self.fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted; there is nothing to save")
        require_folder(path)
        about = {
            "format": FORMAT,
            "algorithm": type(self).__module__.rpartition(".")[2],
            "config": asdict(self.config),
            "weights": self.weights,
        }
        state = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        partial = Path(path).with_suffix(".partial")
        save_file(state, partial, metadata={"detector": json.dumps(about, sort_keys=True)})
        partial.replace(path)

    def load_state_dict(
        self, state: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Let buffers that grow while fitting (a memory bank) take their saved shape."""
        for name, buffer in list(self.named_buffers()):
            if name in state and buffer.shape != state[name].shape:
                owner, _, leaf = name.rpartition(".")
                setattr(self.get_submodule(owner), leaf, torch.empty_like(state[name]))
        return super().load_state_dict(state, strict, assign)

    def export(self, path: Path | str, image_size: tuple[int, int] | int) -> None:
        """Write an ONNX file for images (B, 3, *image_size), any B; its output equals `predict`.

        image_size: height and width, pixels, or the side of a square.
        """
        if not self.fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted; there is nothing to export")
        if self.no_export:
            raise ExportError(f"{type(self).__name__} cannot be exported: {self.no_export}")
        require_folder(path)
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        sample = torch.zeros(2, 3, *sides, device=self.fitted.device)
        program = torch.onnx.export(
            self.eval(),
            (sample,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["score", "map"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        )
        assert program is not None  # None comes from the old exporter only
        cut_constants(program.model)
        # external_data: one file, or a release could ship half a model
        program.save(str(path), external_data=False)
