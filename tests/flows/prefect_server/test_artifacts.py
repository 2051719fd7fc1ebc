"""What the Prefect UI is given."""

from pathlib import Path
from typing import Any

import pytest

from flows.prefect_server import artifacts
from tasks.documents.decision import Decision
from tests.tasks.workspaces import NASTY, cell, workspace


def test_a_decision_shows_what_was_most_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = workspace(tmp_path)
    (cell(made) / "threshold.json").write_text('{"threshold": 2.0}')
    told: dict[str, Any] = {}
    monkeypatch.setattr(
        artifacts, "create_markdown_artifact", lambda text, key: told.update({key: text})
    )
    decided = {
        "product": "tile",
        "accepted": True,
        "challenger": {"algorithm": "padim", "release": "0123456789abcdef"},
        "reasons": ["padim holds every gate"],
        "floors": [{"name": "miss", "limit": 0.6, "value": 0.5, "passed": True}],
        "store": "s3://bucket/line",
    }
    artifacts.decision_artifact(made, Decision.model_validate(decided))
    text = told["decision-tile"]
    assert "## tile: padim promoted" in text and "| miss | 0.6 | 0.5 | True |" in text
    assert "`s3://bucket/line/releases/tile/0123456789abcdef`" in text
    assert text.count("](data:image/jpeg;base64,") == 2  # one miss, one false alarm
    assert text.index("**missed**, score 0.5") < text.index("**false alarm**, score 2.5")
    assert NASTY in text  # in code marks, where nothing acts
