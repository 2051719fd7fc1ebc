"""golden.json: images of a release, and what it said of them when it was made."""

from typing import ClassVar

from pydantic import Field

from tasks.documents.base import Document, Number, Part, Text

GOLDEN = "golden.json"


class GoldenImage(Part):
    """One image, and how it was decided."""

    file: Text = Field(description="Its name in the archive.")
    path: Text = Field(description="Its path among the images of the product.")
    score: Number = Field(description="Raw score; larger is more anomalous.")
    decision: Text = Field(description="good, review or defect.")


class Golden(Document):
    """What a copy of a release has to say again, on any machine."""

    remedy: ClassVar[str] = "pull the release again"

    release: Text = Field(description="Id of the release.")
    tolerance: Number = Field(description="A raw score may differ by this much.")
    images: list[GoldenImage] = Field(description="The images, in the order of the archive.")
