"""What product.yaml and params.yaml may say: every section, its keys, defaults and limits."""

import re
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from tasks.spec.algorithms import config_fields, known_algorithms, per_product
from tasks.spec.automatic import AUTO
from tasks.spec.policy_names import PolicyName, ScoreRule
from tasks.workspace.errors import DataError, hint
from tasks.workspace.names import part_pattern
from tasks.workspace.secrets import without_secrets

SeverityName = Literal["critical", "major", "minor", "ignore"]
NEEDS_DEFECTS = frozenset({"max_miss", "f1_max"})
LEARNS_FROM_DEFECTS = NEEDS_DEFECTS | {"auto", "min_cost"}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(ge=0, le=1)]
Between = Annotated[float, Field(gt=0, lt=1)]


class Cost(Section):
    """What a wrong decision costs, in any unit: only the ratios matter."""

    miss: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0  # a defect that is accepted
    overkill: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0  # a good part rejected
    review: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.2  # a part that a person checks
    defects: Between = 0.05  # share of the produced parts that have a defect


class Rule(Section):
    """How one threshold is found."""

    policy: PolicyName = "auto"
    overkill: Between = 0.01  # share of good parts that may be rejected; expected, but for
    # max_overkill: with confidence
    miss: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of max_miss: share of calibration defects
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None  # of fixed, raw score


class Review(Rule):
    """How the threshold is found at or below which a part is accepted without a look."""

    policy: PolicyName = "max_miss"


class ThresholdSpec(Rule):
    score: Literal["auto"] | ScoreRule = "auto"  # of an image: the algorithm's own, the highest
    # value of the heat map, or the mean of its top; auto: by the known defects, else the model's
    cost: Cost = Cost()  # of auto and min_cost, and for the choice of the champion
    confidence: Between = 0.95  # of max_overkill and of the reported upper bounds
    calibration_defects: Annotated[float, Field(ge=0, lt=1)] | None = None  # share taken from the
    # test set; null: all set the threshold, and each is judged by one that did not see it
    min_defects: Annotated[int, Field(ge=1)] = 5  # fewer: max_miss and f1_max are not followed
    review: Review | None = None

    @model_validator(mode="after")
    def _accept_below_reject(self) -> "ThresholdSpec":
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
    def learns_from_defects(self) -> bool:
        """Whether a policy does."""
        policies = {self.policy, self.review.policy if self.review else self.policy}
        return bool(policies & LEARNS_FROM_DEFECTS)

    @property
    def defect_share(self) -> float:
        """Share of the test defects that only calibrate; 0 where all of them are judged."""
        return (self.calibration_defects or 0.0) if self.learns_from_defects else 0.0


PixelSide = Annotated[int, Field(strict=True, ge=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Validation(Section):
    """What a product's images must satisfy."""

    size: tuple[PixelSide, PixelSide] | None = None  # width, height of every image; null: any
    min_size: PixelSide = 16  # pixels, of the shorter side
    channels: Literal[1, 3] | None = None  # grey or RGB everywhere; null: any
    bits: Literal[8, 16] | None = None  # everywhere; null: any, a mixture gives a warning
    min_train: Annotated[int, Field(strict=True, ge=2)] = 2  # one image shows no spread
    min_test_good: Count = 0  # below 1 the metrics that need them are null
    min_test_defective: Count = 0
    near_duplicate_bits: Annotated[int, Field(strict=True, ge=0, le=64)] | None = 4  # of 64 that
    # may differ in dhash; null: no search
    near_duplicate_difference: Factor = 1.0  # grey levels of 255, mean over a 32 x 32 thumbnail
    range_tolerance: Factor = 8.0  # median absolute deviations from the median of train
    extreme_ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 8.0  # a training image
    # this many times off the median fails


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
    days: Annotated[int, Field(ge=1, le=36500)] = 7  # of the log that are looked at


class Retrain(Section):
    """What starts a run by itself, counted since the last run's validation; None: that does not."""

    new_images: Annotated[int, Field(ge=1)] | None = 1
    relabelled: Annotated[int, Field(ge=1)] | None = None
    drift: bool = True  # once production has drifted, anything new does


class LimitsSpec(Section):
    miss: Share | None = None  # at most this share of the class may pass
    min_area: Annotated[int, Field(ge=0)] = 0  # pixels; a smaller defect is no miss


class CriticalLimits(LimitsSpec):
    miss: Share = 0.0


class Severity(Section):
    types: dict[str, SeverityName] = {}  # defect type -> class
    default: SeverityName = "major"  # of types not named
    critical: CriticalLimits = CriticalLimits()
    major: LimitsSpec = LimitsSpec()
    minor: LimitsSpec = LimitsSpec()

    @model_validator(mode="after")
    def _good_is_no_defect(self) -> "Severity":
        if "good" in self.types:
            raise ValueError("severity.types names good, which is no defect; leave it out")
        return self

    def of(self, label: str) -> SeverityName:
        """The class of a defect type."""
        return self.types.get(label, self.default)

    def limits(self, name: SeverityName) -> LimitsSpec:
        """Limits of a class."""
        known: dict[str, LimitsSpec] = {
            "critical": self.critical,
            "major": self.major,
            "minor": self.minor,
        }
        return known.get(name, LimitsSpec())


def fields_at(kind: type[BaseModel], where: list[str]) -> list[str]:
    """Keys allowed in the section at `where`, also where that section may be null, or is one of
    a list."""
    for part in where:
        if part.isdecimal():  # the place in a list of the sections that `kind` is
            continue
        annotation: Any = kind.model_fields[part].annotation
        kind = next(
            option
            for option in (annotation, *get_args(annotation))
            if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return list(kind.model_fields)


def _square(size: Any) -> Any:
    return (size, size) if isinstance(size, int) and not isinstance(size, bool) else size


IMAGE, TRAINING = "image", "training"  # beside an algorithm's parameters: what it sees at a time
PRESET = "preset"  # beside an algorithm's parameters: a named set of them that lies below
TRAIN_ON = "train_on"  # beside the parameters of an algorithm that products share: which ones
PAPER = "paper"  # where no preset is named: every Config's defaults are the paper's
NO_PARAMETERS = (TRAIN_ON, IMAGE, TRAINING)  # what else may stand beside an algorithm
Side = Annotated[int, Field(ge=32, le=16384)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_square)]  # height, width
BatchSize = Annotated[int, Field(ge=1)]


class Image(Section):
    size: Size = (256, 256)
    color: Literal["rgb", "grey"] = "rgb"
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    roi: tuple[int, int, int, int] | None = None  # left, top, width, height
    tile: Side | None = None
    bits: Annotated[int, Field(strict=True, ge=8, le=16)] | None = None  # used of 16; null: all

    @model_validator(mode="after")
    def _tile_fits(self) -> "Image":
        if self.tile and self.tile > min(self.size):
            raise ValueError(f"image.tile is {self.tile}, but image.size is only {list(self.size)}")
        return self

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width that the algorithm sees at once."""
        return (self.tile, self.tile) if self.tile else self.size


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"training.order '{text}' is no regular expression: {error}") from None
    return text


class Training(Section):
    batch_size: BatchSize = 16
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    calibration: Annotated[float, Field(gt=0, lt=1)] = 0.2
    folds: Annotated[int, Field(ge=0, le=20)] = 4
    order: Annotated[str, AfterValidator(_pattern)] | None = None


class Evaluation(Section):
    resolution: Literal["native", "model"] = "native"
    resamples: Annotated[int, Field(ge=0, le=100_000)] = 1000
    pictures: Annotated[int, Field(ge=0)] = 1000


class Gates(Section):
    image_auroc: Share | None = 0.8
    aupro_30: Share | None = None
    miss: Share | None = 0.5
    overkill: Share | None = None
    ms_per_image: Annotated[float, Field(gt=0)] | None = None
    ms_p95: Annotated[float, Field(gt=0)] | None = None
    size_mb: Annotated[float, Field(gt=0)] | None = None
    rule: Literal["not_worse", "better"] = "not_worse"
    margin: Share = 0.02
    parity: Annotated[float, Field(gt=0, lt=1)] = 0.001


def _named(algorithms: Any) -> Any:
    """A list of names is a mapping of names to no overrides; `auto` names none itself."""
    if algorithms == AUTO:
        return {}
    if not isinstance(algorithms, list):
        return algorithms
    if other := [one for one in algorithms if not isinstance(one, str)]:
        raise ValueError(
            f"a list of algorithms holds names only, got {str(other[0])[:60]}; with parameters "
            "write `padim: {dims: 100}` without the dash"
        )
    return dict.fromkeys(algorithms)


def _known(algorithms: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
    """Raise unless each name is an algorithm and each key a field of its Config."""
    for name, parameters in algorithms.items():
        if name not in known_algorithms():
            raise ValueError(f"unknown algorithm '{name}'; {hint(name, known_algorithms())}")
        more = [PRESET, IMAGE, TRAINING, *([TRAIN_ON] if per_product(name) else [])]
        known = (*config_fields(name), *more)
        for key, value in (parameters or {}).items():
            if key not in known:
                raise ValueError(f"{name} has no parameter '{key}'; {hint(key, known)}")
            if key in OWN_INPUT:
                _check_input(name, key, value)
    return algorithms


class OwnImage(Section):
    """What an algorithm may say of its images."""

    size: Size


class OwnTraining(Section):
    """What an algorithm may say of its training, beside its parameters."""

    batch_size: BatchSize


OWN_INPUT: dict[str, tuple[type[Section], str]] = {
    IMAGE: (OwnImage, "size"),
    TRAINING: (OwnTraining, "batch_size"),
}


def _check_input(name: str, section: str, value: Any) -> None:
    """Raise unless an algorithm says of its input what it may."""
    kind, field = OWN_INPUT[section]
    if not isinstance(value, dict) or field not in value:
        raise ValueError(f"{name}.{section} must say {field}: write `{section}: {{{field}: ...}}`")
    if other := [str(key) for key in value if key != field]:
        raise ValueError(
            f"{name}.{section}.{other[0]} cannot be an algorithm's own, only image.size and "
            f"training.batch_size can; say {section}.{other[0]} of the product in product.yaml"
        )
    try:
        kind.model_validate(value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise ValueError(
            f"{name}.{section}.{field}: {said[0].lower() + said[1:]}, got {str(value[field])[:60]}"
        ) from None


Algorithms = Annotated[
    dict[str, dict[str, Any] | None], BeforeValidator(_named), AfterValidator(_known)
]


class ReleaseSpec(Section):
    onnx: bool = True
    pixels: bool = True
    int8: bool = False
    golden: Count = 16


Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Product(Section):
    """product.yaml over `defaults` of params.yaml."""

    algorithms: Algorithms = {}
    image: Image = Image()
    training: Training = Training()
    validation: Validation = Validation()
    threshold: ThresholdSpec = ThresholdSpec()
    regions: Regions = Regions()
    severity: Severity = Severity()
    evaluation: Evaluation = Evaluation()
    gates: Gates = Gates()
    release: ReleaseSpec = ReleaseSpec()
    drift: Drift = Drift()
    retrain: Retrain = Retrain()
    schedule: str | None = None
    budget: Minutes | Literal["line"] | None = "line"


Seconds = Annotated[float, Field(gt=0, le=1e6)]  # what a clock can wait for


class Pool(Section):
    """The work pool of a Prefect server that runs batches of cells."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w. -]*$")] = "inspectline-cells"
    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9:-]*$")] = "process"
    job: dict[str, Any] = {}  # variables of its jobs, beside those of the pool


PROCESS, NODE = 180.0, 900.0  # seconds until a worker has checked out and imported; until a node
# is there too, and has pulled the image


class Workers(Section):
    """Cells on other machines."""

    git: str = "origin"
    batch: Annotated[int, Field(ge=1)] = 8
    per_gpu: Annotated[int, Field(ge=1)] = 1
    checkpoint: Seconds = 120.0
    silence: Annotated[float, Field(ge=30, le=1e6)] = 60.0
    rest: Seconds = 60.0
    attempts: Annotated[int, Field(ge=1)] = 3
    starting: Seconds | None = None
    pool: Pool = Pool()

    @property
    def patience(self) -> float:
        """Seconds from the start of a batch to its first sign of life."""
        usual = PROCESS if self.pool.type == "process" else NODE
        return max(self.silence, self.starting or usual)


Occasion = Literal["promoted", "refused", "failed", "drift"]


class Notify(Section):
    """Who hears of what."""

    block: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]  # type/name
    on: tuple[Occasion, ...] = ("promoted", "refused", "failed", "drift")


def _part(text: str) -> str:
    """Raise unless a pattern can find a part's id."""
    try:
        part_pattern(text)
    except DataError as error:
        raise ValueError(f"line.part: {error}") from None
    return text


def _topic(text: str) -> str:
    """Raise unless a topic of MQTT can be made of it."""
    try:
        made = text.format(product="product")
    except (LookupError, ValueError):
        made = ""
    if not made or set(made) & set("+#\0"):
        raise ValueError(
            f"topic '{text}' of a sink cannot be published to; "
            "leave out + and #, and write {product} alone in braces"
        )
    return text


def _sink(address: str) -> str:
    """Raise unless results can be sent to an address."""
    named = bool(address.strip()) if "://" not in address else _host(address)
    if not named:
        raise ValueError(
            f"'{without_secrets(address)}' is no sink; give mqtt://HOST, mqtts://HOST, http://..., "
            "https://... or a folder"
        )
    return address


def _host(address: str) -> bool:
    """Whether an address of a sink names a host, and no port that is none."""
    try:
        parts = urlsplit(address)
        return parts.scheme in SINKS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


SINKS = ("mqtt", "mqtts", "http", "https")


class Sink(Section):
    """Somebody who is told each result."""

    to: Annotated[str, AfterValidator(_sink)]
    topic: Annotated[str, AfterValidator(_topic)] = "inspectline/{product}"
    confirm: bool = False
    password: str = "INSPECTLINE_MQTT_PASSWORD"
    secret: str = "INSPECTLINE_WEBHOOK_SECRET"


class Signing(Section):
    """With what releases are signed."""

    key: Annotated[str, Field(min_length=1)]  # file of an EC private key, or $NAME of the
    # environment, which names it
    password: str | None = None  # name of the variable of the environment that holds the key's


class Line(Section):
    store: str = "store"
    single_writer: bool = False
    slots: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    budget: Minutes | None = 10.0
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    patience: Annotated[float, Field(ge=0, le=1e6)] = 180.0
    features_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    workers: Workers | None = None
    notify: Notify | None = None
    part: Annotated[str, AfterValidator(_part)] | None = None
    sinks: tuple[Sink, ...] = ()
    signing: Signing | None = None
    mlflow: Annotated[str, Field(pattern=r"^https?://[^/]")] | None = None
    trust: tuple[Annotated[str, Field(min_length=1)], ...] = ()


def _flat(algorithms: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
    """Raise if a preset asks for another one, which nothing would look up."""
    for name, values in algorithms.items():
        if PRESET in (values or {}):
            raise ValueError(f"{name}.{PRESET}: a preset holds values, and names no other preset")
    return algorithms


def _steps(steps: dict[int, list[str]]) -> dict[int, list[str]]:
    """Raise unless each name is an algorithm."""
    for names in steps.values():
        _known(dict.fromkeys(names))
    return steps


class Params(Section):
    """params.yaml."""

    defaults: Product = Product()
    auto: Annotated[dict[int, list[str]], AfterValidator(_steps)] = {}
    presets: dict[str, Annotated[Algorithms, AfterValidator(_flat)]] = {}
    algorithms: Algorithms = {}
    line: Line = Line()
