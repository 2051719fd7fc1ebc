"""What runs a model, whatever library computes it: arrays in, arrays out."""

from typing import NamedTuple, Protocol

from tasks.images.resample import Array


class Scored(NamedTuple):
    """Larger is more anomalous; the scale is the algorithm's own."""

    score: Array  # (B,)
    map: Array  # (B, h, w)


class Predictor(Protocol):
    @property
    def reconstructs(self) -> bool:
        """Whether `reconstruct` can give anything."""

    def predict(self, images: Array) -> Scored:
        """Score normalised images (B, 3, h, w)."""

    def reconstruct(self, images: Array) -> Array | None:
        """The reconstruction of images (B, 3, h, w), normalised like them; None if there is
        none."""
