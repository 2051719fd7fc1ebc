"""model_card.json: what a model is, what it was measured on, and what nobody knows of it."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.documents.base import Count, Document, Number, Part, Text
from tasks.documents.threshold import Thresholds

CARD_JSON, CARD_TEXT = "model_card.json", "model_card.md"
Figure = Number | None


class Images(Part):
    """The images behind a model. Masks are none."""

    train: dict[str, Count] = Field(default={}, description="Label -> images to train on.")
    test: dict[str, Count] = Field(default={}, description="Label -> images to test with.")
    sizes: dict[str, Count] = Field(
        default={}, description="Width x height in pixels -> images of that size."
    )
    bits: dict[str, Count] = Field(default={}, description="Bits of a value -> images.")
    masks: Count = Field(default=0, description="Test images whose defects are outlined.")
    sha256: Text = Field(default="", description="Hash of the table with the hash of each image.")


class Measured(Part):
    """A figure of the test images."""

    value: Figure = Field(description="The figure; null: not measured.")
    low: Figure = Field(default=None, description="Lower end of its 95 % interval.")
    high: Figure = Field(default=None, description="Upper end of its 95 % interval.")
    meaning: Text = Field(default="", description="What it is, in words.")


class Lineage(Part):
    """Where a model is from. The commit and the time stand in the manifest: equal content is one
    release, whenever it was made."""

    dvc: dict[str, Text] = Field(
        default={}, description="Path in the product's folder -> hash by which DVC keeps it."
    )
    code: dict[str, Text] = Field(default={}, description="Step -> fingerprint of its code.")
    packages: dict[str, Text] = Field(default={}, description="Package -> version.")
    backbone: Text | None = Field(default=None, description="Pretrained network; null: none.")
    weights: Text | None = Field(default=None, description="Where its weights came from.")
    licence: Text | None = Field(default=None, description="Their licence; null: not known.")


class ModelCard(Document):
    """What a release is, for those who answer for its use."""

    remedy: ClassVar[str] = "fetch the release again"

    product: Text = Field(description="Name of the product.")
    algorithm: Text = Field(description="Name of the algorithm.")
    preset: Text | None = Field(
        default=None, description="Preset whose values it had, and what was not the preset's."
    )
    image_size: Text | None = Field(default=None, description="Size at which it sees images.")
    batch_size: Count | None = Field(default=None, description="Images in a batch of training.")
    steps: Count | None = Field(default=None, description="Steps of training; null: none.")
    parameters: dict[str, Any] = Field(default={}, description="Parameters of the algorithm.")
    use: Text = Field(default="", description="What it is for, and what not.")
    images: Images = Field(default=Images(), description="What it was made of and tested on.")
    figures: dict[str, Measured] = Field(default={}, description="Name -> figure.")
    threshold: Thresholds | None = Field(default=None, description="What decides.")
    promises: list[Text] = Field(default=[], description="What the threshold promises, in words.")
    limits: list[Text] = Field(default=[], description="What was not measured or is uncertain.")
    lineage: Lineage = Field(default=Lineage(), description="Where it is from.")
