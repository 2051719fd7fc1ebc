"""Sections of a product's spec that say how scores become decisions. No logic: fits import this."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

PolicyName = Literal["normal_quantile", "max_miss", "max_overkill", "f1_max", "fixed"]
SeverityName = Literal["critical", "major", "minor", "ignore"]
NEEDS_DEFECTS = frozenset({"max_miss", "f1_max"})


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0, le=1)]
Between = Annotated[float, Field(gt=0, lt=1)]


class Rule(Section):
    """How one threshold is found."""

    policy: PolicyName = "normal_quantile"
    overkill: Between = 0.01  # of normal_quantile (expected) and max_overkill (with confidence)
    miss: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of max_miss: share of calibration defects
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None  # of fixed, raw score


class Review(Rule):
    """How the threshold is found at or below which a part is accepted without a look."""

    policy: PolicyName = "max_miss"


class Threshold(Rule):
    confidence: Between = 0.95  # of max_overkill and of the reported upper bounds
    calibration_defects: Annotated[float, Field(ge=0, lt=1)] = 0.3  # share taken from the test set
    min_defects: Annotated[int, Field(ge=1)] = 5  # fewer: normal_quantile instead
    review: Review | None = None

    @model_validator(mode="after")
    def _accept_below_reject(self) -> "Threshold":
        review = self.review
        if review is None or not self.policy == review.policy == "fixed":
            return self
        low, high = review.value, self.value
        if low is not None and high is not None and low > high:
            raise ValueError(
                f"threshold.review.value is {low} and threshold.value {high}: parts are accepted "
                "up to the first and rejected above the second; give it the smaller one"
            )
        return self

    @property
    def defect_share(self) -> float:
        """Share of the test defects that calibrate; none where no policy learns from defects."""
        policies = {self.policy, self.review.policy if self.review else self.policy}
        return self.calibration_defects if policies & NEEDS_DEFECTS else 0.0


class Regions(Section):
    """Defective regions of a map. They are drawn and reported, and decide nothing."""

    value: Annotated[float, Field(allow_inf_nan=False)] | None = None  # raw; null: by overkill
    overkill: Between = 0.01  # share of good images that may show a region
    min_area: Annotated[int, Field(ge=1)] = 1  # pixels of the original image
    opening: Annotated[int, Field(ge=0)] = 0  # radius in pixels: what is thinner vanishes


class Drift(Section):
    """When production counts as changed."""

    distance: Between = 0.2  # between two distribution functions, beyond chance
    defects: Share = 0.05  # of parts that are usually defective: they are no false alarms
    parts: Annotated[int, Field(ge=1)] = 100  # fewer say nothing
    days: Annotated[int, Field(ge=1)] = 7  # of the log that are looked at


class Retrain(Section):
    """What starts a run by itself, counted since the last run's validation; None: that does not."""

    new_images: Annotated[int, Field(ge=1)] | None = 1
    relabelled: Annotated[int, Field(ge=1)] | None = None
    drift: bool = True  # once production has drifted, anything new does


class Limits(Section):
    miss: Share | None = None  # at most this share of the class may pass
    min_area: Annotated[int, Field(ge=0)] = 0  # pixels; a smaller defect is no miss


class CriticalLimits(Limits):
    miss: Share = 0.0


class Severity(Section):
    types: dict[str, SeverityName] = {}  # defect type -> class
    default: SeverityName = "major"  # of types not named
    critical: CriticalLimits = CriticalLimits()
    major: Limits = Limits()
    minor: Limits = Limits()

    @model_validator(mode="after")
    def _good_is_no_defect(self) -> "Severity":
        if "good" in self.types:
            raise ValueError("severity.types names good, which is no defect; leave it out")
        return self

    def of(self, label: str) -> SeverityName:
        """The class of a defect type."""
        return self.types.get(label, self.default)

    def limits(self, name: SeverityName) -> Limits:
        """Limits of a class."""
        known: dict[str, Limits] = {
            "critical": self.critical,
            "major": self.major,
            "minor": self.minor,
        }
        return known.get(name, Limits())


def fields_at(kind: type[BaseModel], where: list[str]) -> list[str]:
    """Keys allowed in the section at `where`, also where that section may be null."""
    for part in where:
        annotation: Any = kind.model_fields[part].annotation
        kind = next(
            option
            for option in (annotation, *get_args(annotation))
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return list(kind.model_fields)
