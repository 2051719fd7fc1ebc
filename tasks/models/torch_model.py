"""A detector of torch as a `Predictor`. Only what loads or fits one imports this."""

from pathlib import Path

import torch

from ad_models import Detector, Prediction, load
from tasks.images.resample import Array
from tasks.models.predictor import Scored


class TorchModel:
    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.reconstructs = type(detector).reconstruct is not Detector.reconstruct

    @classmethod
    def load(cls, path: Path, device: str) -> "TorchModel":
        return cls(load(path, device))

    def predict(self, images: Array) -> Scored:
        """Score normalised images (B, 3, h, w)."""
        return as_arrays(self.detector.predict(torch.from_numpy(images)))

    def reconstruct(self, images: Array) -> Array | None:
        """The reconstruction of images (B, 3, h, w), normalised like them; None if there is
        none."""
        made = self.detector.reconstruction(torch.from_numpy(images))
        return None if made is None else made.float().cpu().numpy()


def as_arrays(prediction: Prediction) -> Scored:
    """A prediction on any device as arrays."""
    score, maps = (part.float().cpu().numpy() for part in prediction)
    return Scored(score, maps[:, 0])
