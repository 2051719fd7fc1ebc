"""One inspection, as it is told to the machines of a factory."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.documents.base import Count, Document, Number, Part, Text

Figure = Number | None


class ResultRegion(Part):
    """A part of the image that looks defective."""

    area: Count = Field(description="Pixels of the original image.")
    box: list[int] = Field(description="left, top, width, height in pixels of the original image.")
    score: Number = Field(description="Highest value of the heat map in it.")
    mean: Number = Field(description="Mean value of the heat map in it.")


class Verdict(Part):
    """What was decided of one image of a part."""

    product: Text = Field(description="Name of the product.")
    release: Text = Field(description="Id of the release that decided.")
    algorithm: Text = Field(description="Name of its algorithm.")
    part: Text = Field(description="Id of the part.")
    sha256: Text = Field(description="Hash of the image's file.")
    decision: Text = Field(description="good, review, defect; error: it could not be inspected.")
    score: Figure = Field(default=None, description="Raw score; larger is more anomalous.")
    threshold: Figure = Field(default=None, description="Raw score above which it is a defect.")
    accept: Figure = Field(default=None, description="Raw score up to which it is good.")
    displayed: Figure = Field(
        default=None, description="Displayed score: 0 a usual good part, above 100 a defect."
    )
    displayed_text: Text | None = Field(default=None, description="The same as text.")
    regions: list[ResultRegion] = Field(default=[], description="What looks defective.")


class Result(Verdict, Document):
    """A verdict as it is told to others. Where the same product, part and sha256 come again, it is
    the same inspection, sent twice."""

    remedy: ClassVar[str] = "send the result again"

    time: Text = Field(description="When it was inspected: UTC, ISO 8601.")
    image: Text | None = Field(default=None, description="Name of the image; null: it has none.")
    fault: Text | None = Field(default=None, description="Of an error: what was wrong.")

    @property
    def key(self) -> str:
        """What tells this inspection from all others."""
        return f"{self.product}/{self.part}/{self.sha256}"


def result_of(verdict: dict[str, Any], who: dict[str, str], time: str, image: str | None) -> Result:
    """verdict: of a release's model, with part and sha256; who: product, release, algorithm."""
    return Result.model_validate({**who, "time": time, "image": image, **verdict})
