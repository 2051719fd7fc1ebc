"""The decision of a gate, and the note of the last one in a workspace."""

from typing import Any, ClassVar

from pydantic import Field

from tasks.documents.base import Count, Document, Flag, Number, Part, Text
from tasks.documents.metrics import GateMetrics

Figure = Number | None


class Side(Part):
    """A model that took part."""

    algorithm: Text = Field(description="Name of the algorithm.")
    release: Text | None = Field(default=None, description="Its release; null: not published.")


class Check(Part):
    """A gate that was asked for."""

    name: Text = Field(description="Name of the figure.")
    limit: Number = Field(description="What the spec asks for.")
    value: Figure = Field(description="The figure, in its own unit; null: unknown.")
    passed: Flag = Field(description="Whether the figure holds the limit.")


class Discordance(Part):
    """Wrong decisions that only one of the two models took."""

    challenger_only: Count = Field(description="Images that only the challenger got wrong.")
    champion_only: Count = Field(description="Images that only the champion got wrong.")
    p_value: Number = Field(description="McNemar's exact test, two-sided.")


class Compared(Part):
    """Challenger against champion on the same test images. Without both kinds of images there is
    a verdict and nothing else."""

    difference: Figure = Field(default=None, description="Image AUROC less the champion's.")
    low: Figure = Field(default=None, description="Lower end of its 95 % interval.")
    high: Figure = Field(default=None, description="Upper end of its 95 % interval.")
    p_value: Figure = Field(default=None, description="DeLong's test, two-sided.")
    cost_difference: Figure = Field(
        default=None, description="Expected cost of a part less the champion's."
    )
    cost_low: Figure = Field(default=None, description="Lower end of its 95 % interval.")
    cost_high: Figure = Field(default=None, description="Upper end of its 95 % interval.")
    rule: Text = Field(default="", description="not_worse, or better.")
    margin: Figure = Field(default=None, description="How much lower the AUROC may be.")
    decisions: dict[str, Discordance] = Field(
        default={}, description="`miss` and `overkill`: decisions that only one got wrong."
    )
    evaluated_anew: Flag = Field(
        default=False, description="Whether the champion scored the test images again."
    )
    verdict: Text = Field(default="", description="In words, to stand before the champion's name.")


class Shipped(Part):
    """Facts of a release as it runs."""

    runtime: Text = Field(default="", description="onnx or torch.")
    device: Text = Field(default="", description="Device of the trial, as cpu or cuda.")
    size_mb: Figure = Field(default=None, description="Size of the model's file, in MiB.")
    ms_per_image: Figure = Field(default=None, description="Median latency of an image, in ms.")
    ms_p95: Figure = Field(default=None, description="95th percentile of the latency, in ms.")
    latency_load: Figure = Field(
        default=None, description="Load of the machine, for each core, when that was measured."
    )


class Decision(Document):
    """Whether a challenger became the champion, and why."""

    remedy: ClassVar[str] = "delete it, and the next run decides again"

    product: Text = Field(default="", description="Name of the product.")
    time: Text = Field(default="", description="When it was taken: UTC, ISO 8601.")
    accepted: Flag = Field(description="Whether the challenger became the champion.")
    challenger: Side = Field(description="The best cell of the product.")
    champion: Side | None = Field(
        default=None, description="The champion before; null: there was none."
    )
    compared: Compared | None = Field(
        default=None, description="The two of them; null without a champion or a threshold."
    )
    floors: list[Check] = Field(default=[], description="Every gate that the spec asks for.")
    reasons: list[Text] = Field(default=[], description="Why it was accepted, or refused.")
    metrics: GateMetrics | None = Field(default=None, description="The challenger's figures.")
    store: Text = Field(default="", description="Address of the store.")
    provenance: dict[str, Any] = Field(
        default={}, description="Spec, parameters, images, code and packages behind it."
    )
    origin: dict[str, Any] = Field(
        default={}, description="Machine and git commit on which it was taken."
    )
    shipped: Shipped | None = Field(
        default=None, description="The release as it runs; missing where none was published."
    )


class Refusal(Decision):
    """A decision against a challenger, as the store's records keep it."""

    kind: Text = Field(default="refusal", description="Kind of the record.")
    by: Text = Field(description="Who ran the gate.")


class Memo(Document):
    """The last decision in a clone of a workspace, and what it answered."""

    remedy: ClassVar[str] = Decision.remedy

    question: Text = Field(default="", description="sha256 of cells, gates and champion.")
    decision: Decision | None = Field(default=None, description="The last decision.")
