"""Check all images of a product before any training."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.arrival.safe_paths import printable
from tasks.checks.appearance import appearance_bounds
from tasks.checks.datadocs import write_index
from tasks.checks.duplicates import content_leaks, exact_duplicates, near_duplicates
from tasks.checks.manifest import COLUMNS, Scan, manifest_frame, scan_images, write_image_manifest
from tasks.checks.overview import (
    failures_and_warnings,
    image_counts,
    shorten_findings,
    value_ranges,
)
from tasks.checks.used_bits import bits_failures, bits_warnings, brightened
from tasks.images.layout import orphan_problem
from tasks.spec.corrections import Correction, apply_corrections, read_corrections
from tasks.spec.recipe import read_bits, read_validate
from tasks.spec.schema import Validation
from tasks.workspace.errors import ValidationError
from tasks.workspace.files import read_rows, write_rows
from tasks.workspace.listener import Listener, main
from tasks.workspace.paths import Workspace

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class ValidationResult:
    """Findings are {check, file, reason}; `file` is empty if the finding is about the whole
    product."""

    passed: bool
    failures: list[dict[str, str]]
    warnings: list[dict[str, str]]
    counts: dict[str, Any]
    ranges: dict[str, dict[str, float]]
    rules: dict[str, Any]
    docs: Path  # page to open in a browser


def validate(workspace: Workspace, product: str, listener: Listener) -> Path:
    """Write the product's `validation` folder; a ValidationError lists the failures."""
    listener.report("images", 0.0)
    result = validated(workspace, product)
    if not result.passed:
        raise ValidationError(failure_text(result))
    return workspace.validation(product)


def validated(workspace: Workspace, product: str) -> ValidationResult:
    """Write the product's `validation` folder by its recipe; what was found."""
    recipe = workspace.product_recipe(product)
    rules, bits = read_validate(recipe), read_bits(recipe)
    out = workspace.validation(product)
    corrections = read_corrections(workspace.corrections(product))
    result = check_images(workspace.images(product), out, rules, corrections=corrections, bits=bits)
    rows = read_rows(out / "manifest.csv")
    train = [row for row in rows if row["split"] == "train"]
    write_rows(out / "train.csv", COLUMNS, train)  # separate: other images do not make a fit stale
    write_rows(out / "test.csv", COLUMNS, [row for row in rows if row["split"] != "train"])
    return result


def check_images(
    images: Path,
    out: Path,
    rules: Validation | None = None,
    workers: int = 2,
    corrections: Sequence[Correction] = (),
    bits: int | None = None,
) -> ValidationResult:
    """Run all checks; writes `manifest.csv`, `result.json` and `docs/` into `out`. bits: those that
    images of 16 bits use, by the spec."""
    wanted = rules or Validation()
    found = scan_images(images, workers)
    found = replace(found, rows=apply_corrections(found.rows, corrections))
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        result = run_checks(found, wanted, bits, partial, out)
        put_in_place(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return result


def run_checks(
    found: Scan, wanted: Validation, bits: int | None, partial: Path, out: Path
) -> ValidationResult:
    """Run all checks on the scanned images. Its files are written to `partial` and later moved to
    `out`."""
    from tasks.checks.expectations import build_checks
    from tasks.checks.suite import run_suite

    frame = manifest_frame(found.rows)
    bounds = appearance_bounds(frame, wanted)
    write_image_manifest(frame, partial / "manifest.csv")
    digest = hashlib.sha256((partial / "manifest.csv").read_bytes()).hexdigest()
    checks = build_checks(wanted, bounds)
    table = suite_table(found, frame, wanted)
    failures, warnings = failures_and_warnings(
        run_suite(checks, table, partial / "docs", digest[:8])
    )
    failures += bits_failures(found, bits)
    warnings += bits_warnings(found, bits)
    result = ValidationResult(
        passed=not failures,
        failures=failures,
        warnings=shorten_findings(warnings),
        counts=image_counts(frame, failures, warnings),
        ranges=value_ranges(frame, bounds),
        rules=wanted.model_dump(mode="json"),
        docs=out / "docs" / "index.html",
    )
    write_index(partial / "docs", result.passed, result.failures, result.warnings)
    write_result(result, partial / "result.json")
    return result


def suite_table(found: Scan, frame: "pandas.DataFrame", rules: Validation) -> "pandas.DataFrame":
    """The manifest for the suite: masks without an image are rows, repeats are columns."""
    import pandas

    twins = {
        "leak": content_leaks(frame),
        "duplicate": exact_duplicates(frame),
        "near_duplicate": {},
    }
    if rules.near_duplicate_bits is not None:
        bits, difference = rules.near_duplicate_bits, rules.near_duplicate_difference
        twins["near_duplicate"] = near_duplicates(frame, brightened(found), bits, difference)
    orphans = [
        dict.fromkeys(COLUMNS) | {"path": path, "error": orphan_problem(PurePosixPath(path))}
        for path in found.orphans
    ]
    table = manifest_frame(found.rows + orphans)
    for column, kind in COLUMNS.items():
        table[column] = table[column].astype("float64" if kind == "Int64" else "object")
    for column in ("error", "mask"):
        table[column] = table[column].where(table[column] != "", None)
    for column, twin in twins.items():
        table[column] = pandas.Series([twin.get(path) for path in table.path], dtype="object")
    return table


def write_result(result: ValidationResult, path: Path) -> None:
    """Write the result without local paths; equal results give equal bytes."""
    values = {key: value for key, value in asdict(result).items() if key != "docs"}
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def put_in_place(partial: Path, out: Path) -> None:
    """Move the files into `out`. result.json is deleted first and moved last: it marks a complete
    result."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.json").unlink(missing_ok=True)
    shutil.rmtree(out / "docs", ignore_errors=True)
    for name in ("docs", "manifest.csv", "result.json"):
        (partial / name).replace(out / name)


def failure_text(result: ValidationResult, limit: int = 20) -> str:
    """The failures, one per line, and the page with all findings."""
    lines = [f"{line['file'] or 'product'}: {line['reason']}" for line in result.failures[:limit]]
    if len(result.failures) > limit:
        lines.append(f"and {len(result.failures) - limit} more")
    return "\n".join([*map(printable, lines), f"all findings: {result.docs}"])


if __name__ == "__main__":
    main(validate)
