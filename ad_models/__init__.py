"""Anomaly detection algorithms behind one small interface.

>>> import torch
>>> from ad_models import create
>>> images = torch.randn(6, 3, 64, 64)  # normalised by MEAN and STD
>>> detector = create("padim", backbone="drawnet").fit(images.split(2))
>>> score, maps = detector.predict(images[:4])  # larger is more anomalous
>>> tuple(score.shape), tuple(maps.shape)
((4,), (4, 1, 64, 64))

torch is imported when a name that needs it is used.
"""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ad_models.errors import CheckpointError, ConfigError
from ad_models.imagenet import MEAN, STD
from ad_models.settings import checked, hint

if TYPE_CHECKING:
    import torch

    from ad_models.base import Detector, Prediction, seeded
    from ad_models.batch import Batch
    from ad_models.drawing import heat_maps
    from ad_models.run import Progress, Run

__all__ = [
    "ALGORITHMS",
    "MEAN",
    "STD",
    "Batch",
    "Detector",
    "Prediction",
    "Progress",
    "Run",
    "config",
    "create",
    "heat_maps",
    "kind",
    "load",
    "seeded",
]

ALGORITHMS = {  # name (also the module's) -> class
    "anogan": "Anogan",
    "anomalydino": "Anomalydino",
    "autoencoder": "Autoencoder",
    "cpr": "Cpr",
    "cyclegan": "Cyclegan",
    "denoising_autoencoder": "DenoisingAutoencoder",
    "diffusionad": "Diffusionad",
    "dinomaly": "Dinomaly",
    "efficientad": "Efficientad",
    "f_anogan": "FAnogan",
    "fastflow": "Fastflow",
    "favae": "Favae",
    "fcdd": "Fcdd",
    "ganomaly": "Ganomaly",
    "kdad": "Kdad",
    "msflow": "Msflow",
    "padim": "Padim",
    "patchcore": "Patchcore",
    "pni": "Pni",
    "reconpatch": "Reconpatch",
    "regad": "Regad",
    "reverse_distillation": "ReverseDistillation",
    "riad": "Riad",
    "semi_orthogonal": "SemiOrthogonal",
    "simplenet": "Simplenet",
    "subspacead": "Subspacead",
    "unified_dinomaly": "UnifiedDinomaly",
    "vae": "Vae",
}

WITH_TORCH = {  # name -> module
    "Batch": "batch",
    "Detector": "base",
    "Prediction": "base",
    "Progress": "run",
    "Run": "run",
    "heat_maps": "drawing",
    "seeded": "base",
}


def __getattr__(name: str) -> Any:
    """The names that need torch, when they are used first."""
    if name not in WITH_TORCH:
        raise AttributeError(f"module 'ad_models' has no attribute '{name}'")
    return getattr(importlib.import_module(f"ad_models.{WITH_TORCH[name]}"), name)


def config(name: str, **parameters: Any) -> Any:
    """The checked Config of an algorithm; a list in `parameters` becomes a tuple."""
    return checked(kind(name).Config, name, parameters)


def create(name: str, **parameters: Any) -> "Detector":
    """Build an unfitted detector; `parameters` are the fields of its Config. With `weights: auto`
    it may get another backbone, see `weights.in_reach`."""
    from ad_models.base import seeded
    from ad_models.weights import in_reach

    chosen = in_reach(config(name, **parameters))
    with seeded(chosen.seed):
        return kind(name)(chosen)


def load(path: Path | str, device: "torch.device | str" = "cpu") -> "Detector":
    """Read a detector written by `Detector.save`. Runs no code from the file."""
    from safetensors import SafetensorError, safe_open

    from ad_models.base import FORMAT, unfilled

    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            about = json.loads((file.metadata() or {}).get("detector", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or no model file: {error}") from error
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {about.get('format')}; this code reads {FORMAT}")
    parameters = about["config"]
    if "weights" in parameters:  # the file holds the backbone itself: nothing to look up
        parameters = parameters | {"weights": "random"}
    with unfilled():
        detector = create(about["algorithm"], **parameters).to(device)
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        what = f"{path} is a {about['algorithm']} of another version; fit it again"
        raise CheckpointError(f"{what}: {error}") from error
    detector.config = config(about["algorithm"], **about["config"])
    for module in detector.modules():
        if hasattr(module, "source"):
            module.source = about["weights"]
    return detector.eval()


def kind(name: str) -> "type[Detector]":
    """The class of an algorithm."""
    if name not in ALGORITHMS:
        raise ConfigError(f"unknown algorithm '{name}'{hint(name, ALGORITHMS)}")
    return getattr(importlib.import_module(f"ad_models.algorithms.{name}"), ALGORITHMS[name])
