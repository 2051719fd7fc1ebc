"""The JSON Schemas of the documents, for readers in other languages."""

from typing import Any

from tasks.documents.base import Document
from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision
from tasks.documents.golden import Golden
from tasks.documents.manifest import Manifest
from tasks.documents.metrics import Metrics
from tasks.documents.model_card import ModelCard
from tasks.documents.prediction import Prediction
from tasks.documents.result import Result
from tasks.documents.threshold import Thresholds
from tasks.workspace.errors import DataError, hint

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, type[Document]] = {
    "metrics": Metrics,
    "threshold": Thresholds,
    "decision": Decision,
    "champion": Pointer,
    "manifest": Manifest,
    "golden": Golden,
    "prediction": Prediction,
    "result": Result,
    "model_card": ModelCard,
}


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a document; DataError where there is none of that name."""
    if name not in DOCUMENTS:
        raise DataError(f"no document '{name}'; {hint(name, DOCUMENTS)}")
    kind = DOCUMENTS[name]
    version = kind.model_fields["version"].default
    head = {"$schema": DIALECT, "$id": f"inspectline/{name}/{version}"}
    return {**head, **kind.model_json_schema(), "title": f"inspectline {name}"}
