"""The data of the pages as plain records, without logic and without models."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision
from tasks.documents.metrics import Metrics
from tasks.store.releases import Release

JsonObject = dict[str, Any]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Row:
    """A test image with the result of a model. decision: good, review, defect; empty: no
    threshold."""

    path: str
    label: str
    score: float
    decision: str


@dataclass(frozen=True)
class ModelView:
    """A cell (product x algorithm), or a release that differs from all present cells."""

    product: str
    key: str  # in addresses: the algorithm, or release-<id>
    algorithm: str
    release: str = ""  # id with which exactly this was published, if it was
    status: str = ""  # champion, refused, or empty
    metrics: Metrics = field(default_factory=Metrics)
    intervals: JsonObject = field(default_factory=dict)  # name -> [low, high], 95 %
    severities: dict[str, JsonObject] = field(default_factory=dict)  # defect type -> its tally
    rows: list[Row] = field(default_factory=list)
    roc: Points = field(default_factory=list)  # false and true positive rate of images
    pro: Points = field(default_factory=list)  # false positive rate of pixels, region overlap
    pictures: Path | None = None  # the archive of its pictures
    said: list[str] = field(default_factory=list)  # what its decisions mean, a sentence each
    edge: list[JsonObject] = field(default_factory=list)  # good images that set the threshold
    notes: list[str] = field(default_factory=list)  # what could not be read

    @property
    def missed(self) -> list[str]:
        """Paths of the defective test images that were accepted, the lowest scores first."""
        wrong = [row for row in self.rows if row.label != "good" and row.decision == "good"]
        return [row.path for row in sorted(wrong, key=lambda row: row.score)]

    @property
    def title(self) -> str:
        short = f" {self.release[:8]}" if self.key.startswith("release-") else ""
        return f"{self.algorithm}{short}"


@dataclass(frozen=True)
class DataView:
    """What validation measured of a product's images."""

    passed: bool
    counts: JsonObject
    sizes: list[JsonObject]  # width, height, images; the most frequent first
    looks: list[JsonObject]  # brightness and sharpness: groups of values in the order of names
    shifts: list[JsonObject]  # test against training images, good ones
    duplicates: list[JsonObject]  # pairs of images that are nearly the same
    findings: list[JsonObject]  # check, file, reason, severe
    corrections: list[JsonObject]  # path, label, by, why
    doubtful: list[JsonObject]  # labels that most algorithms contradict
    masks: list[JsonObject]  # path, share, size and outline of some masks, the largest first
    paths: list[str]  # of all images; a picture of one is asked for by its place here


@dataclass(frozen=True)
class Event:
    """A record of the store, whatever kind it is of."""

    time: str
    kind: str
    algorithm: str
    release: str
    what: str  # of a change that is about no release
    by: str
    reason: str


@dataclass(frozen=True)
class ProductView:
    name: str
    folder: Path
    champion: Pointer | None  # the store's pointer
    decision: Decision | None  # the gate's last
    releases: list[Release]  # oldest first
    history: list[Event]  # promotions, rollbacks, refusals; the newest first
    models: list[ModelView]
    data: DataView | None
    trend: JsonObject | None  # of miss and overkill over the gate's decisions
    chosen: list[str]  # why these algorithms, where the line chose them
    skipped: str = ""  # why its images failed validation
    notes: list[str] = field(default_factory=list)

    @property
    def cells(self) -> list[ModelView]:
        """The models that are cells, not older releases."""
        return [model for model in self.models if model.key == model.algorithm]


@dataclass(frozen=True)
class View:
    title: str
    time: datetime
    products: list[ProductView]
    failures: dict[str, str] = field(default_factory=dict)  # of the run, by stage
