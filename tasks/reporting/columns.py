"""Figures on the pages: the columns, their format, and the best values."""

from dataclasses import dataclass
from statistics import median

from tasks.documents.metrics import Metrics
from tasks.reporting.plots import rows_by_label
from tasks.reporting.reading import finite_number
from tasks.reporting.view import JsonObject, ModelView, View


@dataclass(frozen=True)
class Column:
    """A figure of the leaderboard. better: 1 if more is better, -1 if less is better, 0 for
    neither."""

    key: str
    title: str
    style: str
    better: int
    missing: str = "not measured"
    term: str = ""  # of the glossary


COLUMNS = (
    Column("image_auroc", "Image AUROC", ".3f", 1, "no test images", "AUROC"),
    Column("pixel_auroc", "Pixel AUROC", ".3f", 1, "no masks", "AUROC"),
    Column("aupro_30", "AUPRO 0.3", ".3f", 1, "no masks", "AUPRO"),
    Column("aupro_05", "AUPRO 0.05", ".3f", 1, "no masks", "AUPRO"),
    Column("image_f1_max", "F1 max", ".3f", 1, "no test images"),
    Column("threshold", "Threshold", "#.4g", 0, term="threshold"),
    Column("miss", "Miss", ".1%", -1, "no test images", "miss"),
    Column("overkill", "Overkill", ".1%", -1, "no test images", "overkill"),
    Column("ms_per_image", "ms / image", ",.1f", -1),
    Column("fit_seconds", "Fit, s", ",.0f", -1),
    Column("peak_memory_mb", "Peak, MB", ",.0f", -1),
)


def figure_text(value: object, style: str) -> str | None:
    """The number as text; None if it is not a finite number."""
    found = finite_number(value)
    return None if found is None else format(found, style)


def interval_text(model: ModelView, column: Column) -> str | None:
    """A figure's 95 % interval as text."""
    ends = model.intervals.get(column.key)
    low, high = (figure_text(end, column.style) for end in ends) if ends else (None, None)
    return f"{low} – {high}" if low and high else None


def all_cells(view: View) -> list[ModelView]:
    """All cells, products in order, without older releases."""
    return [cell for product in view.products for cell in product.cells]


def best_figures(view: View) -> set[tuple[str, str, str]]:
    """(product, model, metric) of the best figures of each product."""
    best = set()
    for product in view.products:
        rivals = product.cells
        for column in (column for column in COLUMNS if column.better):
            known = {model.key: model.metrics.figure(column.key) for model in rivals}
            values = {name: value for name, value in known.items() if value is not None}
            top = max((column.better * value for value in values.values()), default=0.0)
            won = {name for name, value in values.items() if column.better * value == top}
            if len(won) < len(values):  # if all are equal, none is marked
                best |= {(product.name, name, column.key) for name in won}
    return best


def missing_reason(column: Column, metrics: Metrics) -> str:
    """Why a cell have not such figure."""
    good, defective = metrics.test_good, metrics.test_defective
    decided = column.key in ("threshold", "miss", "overkill")
    if decided and "threshold" in metrics.model_fields_set and metrics.threshold is None:
        return "no threshold: too few good images"
    if column.missing == "not measured" or None in (good, defective):
        return column.missing
    if not good and not defective:
        return "no test images"
    if column.missing == "no masks" or (good and defective):
        return column.missing
    return "no good test images" if defective else "no defective test images"


def label_counts(model: ModelView) -> list[JsonObject]:
    """For each label: number of images, decisions, severity and median score."""
    return [
        {
            "label": label,
            "severity": model.severities.get(label, {}).get("severity", ""),
            "images": len(group),
            "flagged": sum(row.decision == "defect" for row in group),
            "review": sum(row.decision == "review" for row in group),
            "passed": sum(row.decision == "good" for row in group),
            "decided": all(row.decision for row in group),
            "median": median(row.score for row in group),
        }
        for label, group in rows_by_label(model.rows)
    ]
