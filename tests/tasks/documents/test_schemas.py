"""The schemas say what the documents hold, to readers in any language."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.documents.schemas import DIALECT, DOCUMENTS, schema
from tests.tasks.documents.test_base import OLD


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_names_every_key_in_words(name):
    found = schema(name)
    assert found["$schema"] == DIALECT and found["$id"] == f"inspectline/{name}/1"
    assert found["title"] == f"inspectline {name}" and found["description"]
    for part in (found, *found.get("$defs", {}).values()):
        assert part["description"] and part["additionalProperties"]
        for key, told in part["properties"].items():
            assert told["description"].endswith("."), (part["title"], key)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_admits_what_earlier_versions_wrote(name):
    assert set(schema(name).get("required", [])) <= set(OLD[name])
    assert set(OLD[name]) <= set(schema(name)["properties"])


def test_the_command_lists_names_and_prints_schemas():
    listed = CliRunner().invoke(main, ["schema"])
    assert listed.exit_code == 0 and listed.output.split() == list(DOCUMENTS)
    for name in DOCUMENTS:
        printed = CliRunner().invoke(main, ["schema", name])
        assert printed.exit_code == 0 and json.loads(printed.output) == schema(name)
    wrong = CliRunner().invoke(main, ["schema", "metric"])
    assert wrong.exit_code == 1 and "did you mean 'metrics'?" in wrong.output


def test_documents_are_cheap_to_import():
    heavy = ("numpy", "torch", "scipy", "pandas", "prefect", "boto3", "PIL")
    code = f"import sys, tasks.documents.schemas; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
