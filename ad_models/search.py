"""Ranges in which a parameter may be looked for: `inspectline tune` reads them.

A field of a Config declares its own by its type: `Ridge`, or `Annotated[float, Search(0.01, 0.1)]`.
A name that means the same in every algorithm has its range here, BY_NAME; learning rates are
looked for up to ten times away from the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints


@dataclass(frozen=True)
class Search:
    """From `low` to `high`, both included, whole numbers where both are; log: by ratios, not by
    differences. Or one of `choices`."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def kind(self) -> type:
        return type(self.choices[0] if self.choices else self.low)


BY_NAME = {
    "neighbourhood": Search(choices=(1, 3, 5)),
    "ratio": Search(0.005, 0.25, log=True),
    "sigma": Search(0.5, 12.0),
    "top": Search(0.001, 0.1, log=True),
}
Switch = Annotated[bool, Search(choices=(False, True))]
Dims = Annotated[int | None, Search(16, 200, log=True)]  # of features; None: by the backbone
Ridge = Annotated[float, Search(1e-4, 1.0, log=True)]  # on a covariance
Variance = Annotated[float, Search(0.8, 0.999)]  # share of it that is kept
Noise = Annotated[float, Search(0.002, 0.1, log=True)]  # deviation, in features
Share = Annotated[float, Search(0.1, 0.9)]
Weight = Annotated[float, Search(0.01, 10.0, log=True)]  # of a part of a loss
AROUND = 10.0  # times: how far from its default a learning rate is looked for


def ranges(config: type) -> dict[str, Search]:
    """What may be looked for of a Config class, by the name of the field."""
    hints: Mapping[str, Any] = get_type_hints(config, include_extras=True)
    found: dict[str, Search] = {}
    for field in fields(config):
        own = [one for one in get_args(hints[field.name]) if isinstance(one, Search)]
        if own:
            found[field.name] = own[0]
        elif (known := BY_NAME.get(field.name)) and isinstance(field.default, known.kind):
            found[field.name] = known
        elif field.name.endswith("lr") and isinstance(field.default, float):
            low, high = field.default / AROUND, field.default * AROUND
            found[field.name] = Search(low, high, log=True)
    return found
