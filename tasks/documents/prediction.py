"""One line of the log of predictions."""

from typing import ClassVar

from pydantic import Field

from tasks.documents.base import Count, Document, Number, Text

Figure = Number | None


class Prediction(Document):
    """One inspected image: when, by which release, the decision, how it looked."""

    remedy: ClassVar[str] = "delete the line"

    time: Text = Field(description="When it was inspected: UTC, ISO 8601.")
    release: Text | None = Field(default=None, description="Id of the release; null: none.")
    image: Text | None = Field(default=None, description="Name of the image; null: it has none.")
    part: Text | None = Field(default=None, description="Id of the part that it shows.")
    sha256: Text | None = Field(default=None, description="Hash of the image's file.")
    score: Figure = Field(default=None, description="Raw score; larger is more anomalous.")
    threshold: Figure = Field(default=None, description="Raw score above which it is a defect.")
    accept: Figure = Field(default=None, description="Raw score up to which it is good.")
    decision: Text = Field(default="", description="good, review or defect.")
    displayed: Figure = Field(
        default=None, description="Displayed score: 0 a usual good part, above 100 a defect."
    )
    regions: Count = Field(default=0, description="Number of regions that were found.")
    width: Count | None = Field(default=None, description="Width of the image, in pixels.")
    height: Count | None = Field(default=None, description="Height of the image, in pixels.")
    brightness: Figure = Field(default=None, description="Mean luminance, 0..1.")
    sharpness: Figure = Field(default=None, description="Variance of the Laplacian of luminance.")
