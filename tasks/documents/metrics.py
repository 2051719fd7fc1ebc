"""metrics.json: the figures of a cell (product x algorithm), and those of a gate's challenger."""

from typing import ClassVar

from pydantic import Field

from tasks.documents.base import Count, Document, Number, Text

METRICS = "metrics.json"
Figure = Number | None
Interval = list[Number | None]  # low and high


class Metrics(Document):
    """Figures of one evaluated cell on its test images. A figure is null where the images for it
    are missing. Shares lie in 0..1. A defective image is a positive."""

    remedy: ClassVar[str] = "`inspectline run` evaluates the cell again once it is deleted"

    product: Text = Field(default="", description="Name of the product.")
    algorithm: Text = Field(default="", description="Name of the algorithm.")
    image_auroc: Figure = Field(default=None, description="Area under the ROC curve of images.")
    image_ap: Figure = Field(default=None, description="Average precision of images.")
    image_f1_max: Figure = Field(default=None, description="Highest F1 of images.")
    pixel_auroc: Figure = Field(default=None, description="Area under the ROC curve of pixels.")
    aupro_30: Figure = Field(default=None, description="Area under the PRO curve to an FPR of 0.3.")
    aupro_05: Figure = Field(
        default=None, description="Area under the PRO curve to an FPR of 0.05."
    )
    pixel_ap: Figure = Field(default=None, description="Average precision of pixels.")
    pixel_f1_max: Figure = Field(default=None, description="Highest F1 of pixels.")
    normal_recall: Figure = Field(default=None, description="1 - overkill.")
    abnormal_recall: Figure = Field(default=None, description="1 - miss.")
    precision: Figure = Field(default=None, description="Share of rejected parts with a defect.")
    miss: Figure = Field(default=None, description="Share of defective parts that are accepted.")
    overkill: Figure = Field(default=None, description="Share of good parts that are rejected.")
    review: Figure = Field(default=None, description="Share of parts that a person looks at.")
    review_good: Figure = Field(default=None, description="The same of good parts.")
    review_defective: Figure = Field(default=None, description="The same of defective parts.")
    cost: Figure = Field(default=None, description="Expected cost of a produced part.")
    test_good: Count | None = Field(default=None, description="Good test images.")
    test_defective: Count | None = Field(default=None, description="Defective test images.")
    critical_missed: Count | None = Field(
        default=None, description="Critical defects that are accepted."
    )
    threshold: Figure = Field(
        default=None, description="Raw score above which a part is rejected; null: none is set."
    )
    accept: Figure = Field(default=None, description="Raw score up to which a part is accepted.")
    threshold_policy: Text | None = Field(default=None, description="Policy that set it.")
    calibration_images: Count | None = Field(default=None, description="Good images that set it.")
    calibration_defects: Count | None = Field(
        default=None, description="Defective images that set it."
    )
    overkill_bound: Figure = Field(
        default=None, description="Share of new good parts that is rejected on average, at most."
    )
    overkill_upper: Figure = Field(
        default=None, description="Share of new good parts that is rejected, upper limit."
    )
    ms_per_image: Figure = Field(
        default=None, description="Median latency of an image, in ms, of the shortest times."
    )
    ms_p95: Figure = Field(default=None, description="95th percentile of the latency, in ms.")
    latency_load: Figure = Field(
        default=None, description="Load of the machine, for each core, when that was measured."
    )
    fit_seconds: Figure = Field(default=None, description="Duration of the fit, in seconds.")
    peak_memory_mb: Figure = Field(default=None, description="Most memory of the fit, in MiB.")
    preset: Text | None = Field(
        default=None,
        description="Preset whose values the algorithm had, paper or one of params.yaml, and what "
        "was not the preset's: values, size of images, batches; null: not known.",
    )
    image_size: Text | None = Field(
        default=None,
        description="Size at which the algorithm saw images, height x width, or the side of a "
        "square; null: not known.",
    )
    batch_size: Count | None = Field(
        default=None, description="Images in a batch of the training; null: not known."
    )
    steps: Count | None = Field(
        default=None, description="Steps of training, all stages together; null: it has none."
    )
    backbone: Text | None = Field(
        default=None, description="Name of the pretrained network; null: it has none."
    )
    backbone_weights: Text | None = Field(
        default=None, description="Where the weights of the backbone came from; null: it has none."
    )

    @property
    def made(self) -> str:
        """How the model was made, as text: preset, size, steps and backbone, as far as known."""
        size = None if " at " in (self.preset or "") else self.image_size
        steps = f"{self.steps} steps" if self.steps else None
        return ", ".join(part for part in (self.preset, size, steps, self.backbone) if part)


class GateMetrics(Metrics):
    """The figures that a gate weighs, with what lies behind them."""

    intervals: dict[str, Interval | None] = Field(
        default={}, description="Name of a figure -> the ends of its 95 % interval."
    )
    blocking: list[Text] = Field(
        default=[], description="Why no promotion is possible: misses by severity."
    )
