"""Render a view with the templates to one HTML file that needs no other file."""

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tasks.reporting import columns, pareto, plots
from tasks.reporting.decision_lines import outcome
from tasks.reporting.faces import faces
from tasks.reporting.glossary import TERMS
from tasks.reporting.language import words
from tasks.reporting.page_data import PageData, page_data
from tasks.reporting.view import View

TEMPLATES = Path(__file__).with_name("templates")
STYLES = ("report", "charts", "pictures", "media")
SCRIPTS = (
    *("language", "pages", "table", "threshold", "pictures", "gallery", "viewer", "zoom"),
    *("compare", "faces"),
)


@dataclass(frozen=True)
class Live:
    """Differences for a served page: pictures are loaded when visible, and the pages include
    templates of the server where they ask for one of `parts`."""

    pictures: str  # address below which a picture is /<product>/<model>/<kind>/<index>
    templates: Path | None = None  # folder of the server's templates, with the prefix `board`
    parts: dict[str, str] = field(default_factory=dict)  # hook -> name of a template
    style: str = ""
    script: str = ""


def render(view: View, live: Live | None = None) -> str:
    """The whole HTML document."""
    from markupsafe import Markup

    style = "\n".join(report_text(f"{name}.css") for name in STYLES) + (live.style if live else "")
    script = "\n".join(report_text(f"{name}.js") for name in SCRIPTS) + (
        live.script if live else ""
    )
    first = report_text("first.js")
    pages = {one.name: page_data(one, len(view.products), bool(live)) for one in view.products}
    html = (
        templates(live.templates if live else None)
        .get_template("report/page.html.j2")
        .render(
            view=view,
            live=live,
            pages=pages,
            style=Markup(style),
            script=Markup(script),
            first=Markup(first),
            policy=content_policy([style], [first, script], live),
            words=words(),
            columns=columns,
            best=columns.best_figures(view),
            terms=TERMS,
            plots=plots,
            pareto=pareto,
            outcome=outcome,
            portraits=faces,
        )
    )
    return str(html.lstrip())


@cache
def templates(board: Path | None = None) -> Any:
    """The templates with their filters: `report/...`, and `board/...` of the given folder."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader, PrefixLoader

    folders = {"report": TEMPLATES} | ({"board": board} if board else {})

    found = Environment(
        loader=PrefixLoader({name: FileSystemLoader(at) for name, at in folders.items()}),
        autoescape=True,
        undefined=ChainableUndefined,  # a record may lack a key; it shows as a dash
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["figure"] = columns.figure_text
    return found


def report_text(name: str) -> str:
    """A file beside the templates."""
    return (TEMPLATES / name).read_text("utf-8")


def content_policy(styles: list[str], scripts: list[str], live: Live | None = None) -> str:
    """A content security policy: only these styles and scripts run, even if a name contains
    code."""
    allowed = [
        "default-src 'none'",
        "img-src data: 'self'" if live else "img-src data:",
        f"style-src {policy_hashes(styles)}",
        f"script-src {policy_hashes(scripts)}",
        "base-uri 'none'",
    ]
    if live:
        allowed += ["connect-src 'self'", "form-action 'self'"]
    return "; ".join(allowed)


def policy_hashes(texts: list[str]) -> str:
    """The sha256 hashes of the texts, in the form of a policy."""
    digests = (hashlib.sha256(each.encode()).digest() for each in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


__all__ = ["Live", "PageData", "render"]
