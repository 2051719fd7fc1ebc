"""A workspace: a git and DVC repository with params.yaml, dvc.yaml and data/<product>/."""

import os
from dataclasses import dataclass
from pathlib import Path

from tasks.workspace.errors import WorkspaceError, hint
from tasks.workspace.names import usable

PACKAGE = Path(__file__).resolve().parents[2]  # the folder that holds ad_models and tasks
SCRATCH = ".inspectline"
SHARED = ".shared"  # stands for a product where several share what was learned
# Files of a fitted model's folder
MODEL = "model.safetensors"
ONNX = "model.onnx"  # of a release
INSPECT = "inspect.onnx"  # of a release: from the pixels of a camera to the verdict
CARD = "fit.json"  # how the model was made
EDGE_MAPS = "edge_maps.npz"  # of the good images that set the threshold
CALIBRATION = "calibration.csv"  # scores of good images that no fit of theirs saw


@dataclass(frozen=True)
class Workspace:
    """Where everything of a workspace lies."""

    root: Path

    @property
    def scratch(self) -> Path:
        return self.root / SCRATCH

    @property
    def products(self) -> list[str]:
        """Names of all products, sorted. A folder whose name cannot be one is none."""
        return sorted(name for name in self._folders if usable(name))

    @property
    def misnamed(self) -> list[str]:
        """Folders that would be products if they had another name, sorted."""
        return sorted(name for name in self._folders if not usable(name))

    @property
    def _folders(self) -> list[str]:
        return [path.parent.name for path in self.root.glob("data/*/product.yaml")]

    def product(self, product: str) -> Path:
        return self.root / "data" / product

    def product_recipe(self, product: str) -> Path:
        """The values of the spec that the product's stages read, written by `sync`."""
        return self.product(product) / "recipe.yaml"

    def images(self, product: str) -> Path:
        return self.product(product) / "images"

    def corrections(self, product: str) -> Path:
        return self.product(product) / "corrections.yaml"

    def validation(self, product: str) -> Path:
        return self.product(product) / "validation"

    def model(self, product: str, algorithm: str) -> Path:
        return self.product(product) / "cells" / algorithm / "model"

    def evaluation(self, product: str, algorithm: str) -> Path:
        return self.product(product) / "cells" / algorithm / "evaluation"

    def shared(self, algorithm: str) -> Path:
        """What several products share of an algorithm: the model folder, made from its recipe."""
        return self.root / "data" / SHARED / algorithm

    def recipe(self, algorithm: str) -> Path:
        return self.shared(algorithm).with_suffix(".yaml")

    def checkpoint(self, product: str, algorithm: str) -> Path:
        return self.scratch / "checkpoints" / product / f"{algorithm}.ckpt"

    @property
    def features(self) -> Path:
        """Features of training images, which cells share. It may be removed at any time."""
        return self.scratch / "features"

    def require(self, product: str) -> None:
        """Raise unless there is a product of this name."""
        if product not in self.products:
            none = "there is none yet, `inspectline ingest` makes one"
            known = hint(product, self.products) if self.products else none
            raise WorkspaceError(f"no product '{product}' in {self.root}; {known}")


def find(start: Path | None = None) -> Workspace:
    """The workspace at `start` or above it."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "params.yaml").is_file() and (folder / ".dvc").is_dir():
            return Workspace(folder)
    raise WorkspaceError(
        f"{start} is in no workspace (a folder with params.yaml and .dvc); "
        "`inspectline init` makes one, or give --workspace DIR"
    )


def link_package(workspace: Workspace) -> None:
    """Point .inspectline/package at the installed code, so that DVC can watch its files.

    A link and not a path: dvc.yaml must read the same on every machine.
    """
    link = workspace.scratch / "package"
    link.parent.mkdir(exist_ok=True)
    if link.is_symlink() and Path(os.readlink(link)) == PACKAGE:
        return
    fresh = link.with_name(f"package.{os.getpid()}")
    fresh.symlink_to(PACKAGE)
    fresh.replace(link)
