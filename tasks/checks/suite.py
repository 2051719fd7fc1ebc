"""Run checks with Great Expectations, in memory, and write Data Docs that open offline."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import great_expectations as gx
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from tasks.checks.datadocs import make_portable, stand_in
from tasks.checks.expectations import Check

if TYPE_CHECKING:
    import pandas

NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # equal images give equal pages
SITE = "images"


def run_suite(
    checks: list[Check], table: "pandas.DataFrame", docs: Path, name: str
) -> list[tuple[bool, dict[str, str]]]:
    """Findings {check, file, reason}, each with True for a failure or False for a warning."""
    context = offline_context(docs)
    for position, check in enumerate(checks):
        check.expectation.meta = {"check": position}
    checkpoint = gx.Checkpoint(
        name="images",
        validation_definitions=validation_definitions(context, checks),
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["path"],
        },
    )
    shown = table.map(lambda value: stand_in(value) if isinstance(value, str) else value)
    outcome = context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": shown}, run_id=RunIdentifier(name, NO_TIME)
    )
    context.build_data_docs(site_names=[SITE])
    make_portable(docs)
    rows = dict(zip(shown["path"], table.to_dict("records"), strict=True))
    results = [result for run in outcome.run_results.values() for result in run.results]
    results.sort(key=position_of)
    return [
        item
        for found in results
        for item in result_findings(checks[position_of(found)], found, rows)
    ]


def position_of(result: Any) -> int:
    """The index of the check that a result belongs to."""
    return result.expectation_config.meta["check"]


def offline_context(docs: Path) -> Any:
    """A temporary context that writes its pages to `docs` and sends no data."""
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs.absolute()),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={SITE: site},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def validation_definitions(context: Any, checks: list[Check]) -> list[gx.ValidationDefinition]:
    """One suite for failures and one for warnings; otherwise a warning would show as "Failed"."""
    asset = context.data_sources.add_pandas("product").add_dataframe_asset("images")
    table = asset.add_batch_definition_whole_dataframe("all")
    made = []
    for name, severity in (("must", "critical"), ("should", "warning")):
        suite = gx.ExpectationSuite(
            name=name,
            expectations=[c.expectation for c in checks if c.expectation.severity == severity],
        )
        definition = gx.ValidationDefinition(name=name, data=table, suite=context.suites.add(suite))
        made.append(context.validation_definitions.add(definition))
    return made


def result_findings(
    check: Check, result: Any, rows: dict[str, dict[str, Any]]
) -> list[tuple[bool, dict[str, str]]]:
    """Findings of one expectation; one finding per file if it is about files. rows: by the path as
    the expectation saw it."""
    if result.success:
        return []
    severe = result.expectation_config.severity == "critical"
    unexpected = result.result.get("unexpected_index_list")
    if unexpected is None:
        reason = check.reason.format(found=result.result.get("observed_value"))
        return [(severe, {"check": check.name, "file": "", "reason": reason})]
    found = [rows[item["path"]] for item in unexpected]
    return [
        (
            severe,
            {"check": check.name, "file": row["path"], "reason": check.reason.format(**row)},
        )
        for row in found
    ]
