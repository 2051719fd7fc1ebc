"""threshold.json: what turns a score into a decision, and a map into a picture."""

from typing import ClassVar, Literal

from pydantic import Field

from tasks.documents.base import Count, Document, Number, Text
from tasks.workspace.errors import DataError

THRESHOLD = "threshold.json"
Figure = Number | None


class Thresholds(Document):
    """The limits of a model's raw scores and maps. A share is null without images for it."""

    remedy: ClassVar[str] = "evaluate the cell again, or fetch the release again"

    policy: Text = Field(default="", description="Policy that the spec asks for.")
    policy_used: Text | None = Field(default=None, description="Policy that was followed.")
    threshold: Figure = Field(
        description="Raw score above which a part is rejected; null: too few good images."
    )
    score_rule: Literal["model", "max", "top"] = Field(
        default="model",
        description="What is compared with it: the model's own score of an image, `max`: the "
        "highest value of its map, or `top`: the mean of the highest 1 % of the map.",
    )
    review_policy: Text | None = Field(
        default=None, description="Policy of `accept`; null where one threshold serves for both."
    )
    accept: Figure = Field(
        default=None,
        description="Raw score up to which a part is accepted; in older documents: threshold.",
    )
    calibration_images: Count = Field(default=0, description="Good images that set the limits.")
    calibration_defects: Count = Field(default=0, description="Defective images that set them.")
    cross_fitted: bool = Field(
        default=False,
        description="Whether each defective image was judged by limits that did not see it.",
    )
    calibration_overkill: Figure = Field(
        default=None, description="Share of the good images that is rejected."
    )
    overkill_bound: Figure = Field(
        default=None, description="Share of new good parts that is rejected on average, at most."
    )
    overkill_upper: Figure = Field(
        default=None, description="Share of new good parts that is rejected, upper limit."
    )
    calibration_review: Figure = Field(
        default=None, description="Share of the good images that a person looks at."
    )
    calibration_miss: Figure = Field(
        default=None, description="Share of the defective images that is accepted."
    )
    miss_bound: Figure = Field(
        default=None, description="Share of new defects that is accepted on average, at most."
    )
    miss_upper: Figure = Field(
        default=None, description="Share of new defects that is accepted, upper limit."
    )
    note: Text = Field(default="", description="What a reader should know.")
    pixel_threshold: Figure = Field(
        default=None, description="Map value above which a pixel counts as defective."
    )
    map_top: Number = Field(
        default=1.0, description="Map value at which the colours of a heat map end."
    )
    display_span: Figure = Field(
        default=None, description="Raw score from displayed 0 to displayed 100."
    )
    region_min_area: Count = Field(default=1, description="Smallest region, in pixels.")
    region_opening: Count = Field(
        default=0, description="Radius of the opening of regions, in pixels."
    )

    @property
    def limits(self) -> tuple[float, float]:
        """Raw scores up to which a part is accepted, and above which it is rejected."""
        if self.threshold is None:
            raise DataError("there is no threshold; give the product more good images and run")
        # older releases have one threshold
        return self.threshold if self.accept is None else self.accept, self.threshold
