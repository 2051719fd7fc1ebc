"""The model card of a release, as JSON and text: facts of its folder and its product's tables."""

import html
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ad_models.licences import licence_in
from tasks.documents.metrics import METRICS, Metrics
from tasks.documents.model_card import (
    CARD_JSON,
    CARD_TEXT,
    Images,
    Lineage,
    Measured,
    ModelCard,
)
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.reporting.decision_lines import outcome, threshold_lines
from tasks.workspace.files import read_rows, write_text
from tasks.workspace.paths import Workspace

Rows = list[dict[str, str]]
SHOWN = (  # figures of a card, in this order
    *("miss", "overkill", "review", "cost", "image_auroc", "image_ap", "pixel_auroc", "aupro_30"),
    *("pixel_ap", "ms_per_image", "ms_p95"),
)
FEW = 20  # images, below which a share is hardly known


def write_model_card(workspace: Workspace, product: str, folder: Path) -> ModelCard:
    """Write model_card.json and model_card.md into the folder of a release that was put together.

    Nothing of it depends on the time: equal content is one release.
    """
    card = model_card(workspace, product, folder)
    card.write(folder / CARD_JSON)
    write_text(folder / CARD_TEXT, as_text(card))
    return card


def as_text(card: ModelCard) -> str:
    """The card in Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    here = Path(__file__).with_name("templates")
    found = Environment(
        loader=FileSystemLoader(here),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"number": number, "plain": plain}
    return found.get_template("model_card.md.j2").render(card=card)


def number(value: float | None) -> str:
    """A number, short; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def plain(text: object) -> str:
    """A text that means nothing to Markdown and HTML."""
    marked = "".join(f"\\{c}" if c in "\\`*[]|#" else c for c in " ".join(str(text).split()))
    return html.escape(marked, quote=False)


def model_card(workspace: Workspace, product: str, folder: Path) -> ModelCard:
    """What is known of the model in the folder of a release."""
    metrics = Metrics.read(folder / METRICS)
    thresholds = Thresholds.read(folder / THRESHOLD)
    details = json.loads((folder / "details.json").read_text())
    origin = json.loads((folder / "provenance.json").read_text())
    intervals = details.get("intervals") or {}
    rows = read_rows(workspace.validation(product) / "manifest.csv")
    said = [outcome(metrics, intervals)]
    images = images_of(rows, origin["images"]["manifest.csv"])
    return ModelCard(
        product=product,
        algorithm=metrics.algorithm,
        preset=metrics.preset,
        image_size=metrics.image_size,
        batch_size=metrics.batch_size,
        steps=metrics.steps,
        parameters=origin["parameters"],
        use=f"Decides whether a picture of {product} shows a defect. The regions that it draws "
        "decide nothing. It knows nothing of other products, cameras and light.",
        images=images,
        figures=figures_of(metrics, intervals),
        threshold=thresholds,
        promises=said + threshold_lines(thresholds, details.get("edge") or {}),
        limits=limits_of(metrics, thresholds, images, details),
        lineage=Lineage(
            dvc=dvc_hashes(workspace, product, metrics.algorithm),
            code=origin["code"],
            packages=origin["packages"],
            backbone=metrics.backbone,
            weights=metrics.backbone_weights,
            licence=licence_in(metrics.backbone_weights) or None,
        ),
    )


def images_of(rows: Rows, sha256: str) -> Images:
    """Counts of the rows of manifest.csv."""
    readable = [row for row in rows if not row["error"]]
    return Images(
        train=_counts(row["label"] for row in readable if row["split"] == "train"),
        test=_counts(row["label"] for row in readable if row["split"] == "test"),
        sizes=_counts(f"{row['width']} x {row['height']}" for row in readable),
        bits=_counts(row["bits"] for row in readable),
        masks=sum(bool(row["mask"]) for row in readable),
        sha256=sha256,
    )


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def figures_of(metrics: Metrics, intervals: dict[str, Any]) -> dict[str, Measured]:
    """Each figure of SHOWN with its interval and its meaning."""
    found = {}
    for name in SHOWN:
        low, high = intervals.get(name) or (None, None)
        told = Metrics.model_fields[name].description or ""
        found[name] = Measured(value=metrics.figure(name), low=low, high=high, meaning=told)
    return found


def limits_of(
    metrics: Metrics, thresholds: Thresholds, images: Images, details: dict[str, Any]
) -> list[str]:
    """What was not measured, and which figures stand on few images."""
    found = []
    if metrics.miss is None:
        found.append("Misses were not measured: there was no defective test image.")
    if metrics.overkill is None:
        found.append("Overkill was not measured: there was no good test image.")
    if metrics.pixel_auroc is None:
        found.append("Where it sees a defect was not measured: no defect was outlined.")
    few = {label: n for label, n in images.test.items() if n < FEW}
    for label, count in few.items():
        found.append(f"Only {count} test images of '{label}': what it does with others is unsure.")
    if thresholds.calibration_images < FEW:
        n = thresholds.calibration_images
        found.append(f"Only {n} good images set the threshold.")
    if thresholds.cross_fitted:
        found.append(
            "The defects that were tested set the threshold too; each was judged by one that did "
            "not see it."
        )
    severity = (details.get("severity") or {}).get("classes") or {}
    none = [name for name, one in severity.items() if not one.get("n") and name != "ignore"]
    if none and metrics.miss is not None:
        found.append(f"No test image had a defect of these severities: {', '.join(none)}.")
    if metrics.latency_load is not None:
        load = metrics.latency_load
        found.append(f"Times are those of one machine, at a load of {load:g} for each core.")
    found.append(
        "Every figure is of images like those of the test: `inspectline drift` tells when "
        "production is not like them any more."
    )
    return found


def dvc_hashes(workspace: Workspace, product: str, algorithm: str) -> dict[str, str]:
    """What DVC keeps of the images, the model and its evaluation; empty where it has no record."""
    path = workspace.product(product) / "dvc.lock"
    if not path.is_file():
        return {}
    stages = (yaml.safe_load(path.read_text()) or {}).get("stages") or {}
    found = {one["path"]: one for one in stages.get("validate", {}).get("deps", [])}
    kept = {"images": found["images"]["md5"]} if "images" in found else {}
    for step in (f"fit-{algorithm}", f"evaluate-{algorithm}"):
        kept |= {one["path"]: one["md5"] for one in stages.get(step, {}).get("outs", [])}
    return kept
