"""The index of an audit: one HTML file without scripts, which names every other file."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Self

from tasks.documents.champion import ChangeRecord, Pointer
from tasks.documents.manifest import Manifest
from tasks.documents.prediction import Prediction
from tasks.spec.corrections import Correction

SHARES = ("miss", "overkill", "image_auroc")


@dataclass(frozen=True)
class Named:
    """A release of the period. manifest: None where it is damaged; fault: what is wrong, if
    anything is."""

    release: str
    manifest: Manifest | None
    signed: bool
    fault: str

    @property
    def figures(self) -> dict[str, tuple[float | None, list[float | None]]]:
        """Name -> value and the ends of its interval."""
        metrics = self.manifest.about.metrics if self.manifest else None
        if metrics is None:
            return {}
        ends = metrics.intervals
        return {name: (metrics.figure(name), ends.get(name) or [None, None]) for name in SHARES}


@dataclass(frozen=True)
class Inspected:
    """What a release decided on a day."""

    day: str
    release: str
    decisions: dict[str, int]

    @classmethod
    def of(cls, where: tuple[str, str], records: list[Prediction]) -> Self:
        return cls(*where, dict(Counter(one.decision for one in records)))


@dataclass(frozen=True)
class Audit:
    """All that an index tells."""

    product: str
    since: date | None
    until: date | None
    champion: Pointer | None
    changes: list[tuple[str, ChangeRecord, dict[str, Any]]]  # key, record, all that it says
    releases: list[Named] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    inspected: list[Inspected] = field(default_factory=list)
    drift: dict[str, list[Any]] = field(default_factory=dict)  # release -> findings
    logged: bool = False


def audit_page(found: Audit) -> str:
    """The HTML of an audit's index."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=ChainableUndefined,  # a record of an older version lacks keys
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.filters["number"] = number
    return pages.get_template("audit.html.j2").render(audit=found)


def number(value: Any) -> str:
    """A number, short; a dash for anything else."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:.4g}" if known else "-"
