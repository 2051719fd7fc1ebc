"""The parameters of an algorithm as its Config declares them, or an error that names the field."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ad_models.errors import ConfigError

AT_LEAST = {  # wherever they occur
    "batch": 1,
    "channels": 1,
    "enlarged": 1,
    "epochs": 0,
    "seed": 0,
    "sigma": 0,
    "steps": 1,
    "width": 1,
}


def checked(kind: type, algorithm: str, parameters: Mapping[str, Any]) -> Any:
    """An instance of the Config class `kind`; a list in `parameters` becomes a tuple."""
    types = get_type_hints(kind)
    frozen: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()
    }
    for name, value in frozen.items():
        if name not in types:
            raise ConfigError(f"{algorithm} has no parameter '{name}'{hint(name, types)}")
        try:
            TypeAdapter(types[name]).validate_python(value, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(
                f"{algorithm}.{name}: {first['msg']}, got {first['input']!r}"
            ) from None
        least = AT_LEAST.get(name)
        if least is not None and value is not None and value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
        if name.endswith("lr") and value <= 0:
            raise ConfigError(f"{name} must be above 0, got {value}")
    return kind(**frozen)


def hint(wrong: str, known: Iterable[str]) -> str:
    """The nearest known name, or all known names."""
    close = difflib.get_close_matches(wrong, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(sorted(known))}"
