"""A release tells what it is from its own files: counts, figures, promises, what is unknown."""

import json

import pytest
import yaml

from tasks.documents.model_card import CARD_JSON, CARD_TEXT, ModelCard
from tasks.reporting.model_card import write_model_card
from tasks.workspace.files import write_json, write_rows
from tasks.workspace.paths import Workspace

COLUMNS = ("split", "label", "width", "height", "bits", "mask", "error")
HOSTILE = "<b>|`scratch`"
WEIGHTS = "vit.tar of timm, licence dinov3-license"


def row(split, label, mask="", error=""):
    return dict(zip(COLUMNS, (split, label, 640, 480, 8, mask, error), strict=True))


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "ws")
    made.validation("cap").mkdir(parents=True)
    rows = [row("train", "good")] * 30 + [row("test", HOSTILE, "m.png")] * 3
    rows += [row("test", "", error="no image")]
    write_rows(made.validation("cap") / "manifest.csv", COLUMNS, rows)
    outs = [{"path": "cells/padim/model", "md5": "f1.dir"}]
    stages = {
        "validate": {"deps": [{"path": "images", "md5": "e7.dir"}]},
        "fit-padim": {"outs": outs},
        "fit-vae": {"outs": [{"path": "cells/vae/model", "md5": "0"}]},
    }
    (made.product("cap") / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}))
    return made


@pytest.fixture
def release(tmp_path):
    folder = tmp_path / "release"
    folder.mkdir()
    figures = {"miss": 0.25, "overkill": None, "backbone": "vit", "backbone_weights": WEIGHTS}
    write_json(folder / "metrics.json", {"product": "cap", "algorithm": "padim", **figures})
    write_json(folder / "threshold.json", {"threshold": 2.5, "calibration_images": 9})
    write_json(folder / "details.json", {"intervals": {"miss": [0.1, 0.5]}, "edge": {}})
    origin = {"parameters": {"seed": 3}, "images": {"manifest.csv": "ab"}, "code": {"fit": "c0"}}
    write_json(folder / "provenance.json", origin | {"packages": {"torch": "2.9"}})
    return folder


def test_a_card_says_what_was_measured_on_what_and_what_was_not(workspace, release):
    card = write_model_card(workspace, "cap", release)
    assert ModelCard.read(release / CARD_JSON) == card
    assert card.images.train == {"good": 30} and card.images.test == {HOSTILE: 3}
    assert card.images.sizes == {"640 x 480": 33} and card.images.masks == 3
    assert card.figures["miss"].dump() == {
        **{"value": 0.25, "low": 0.1, "high": 0.5},
        "meaning": "Share of defective parts that are accepted.",
    }
    assert card.figures["overkill"].value is None
    assert any(line.startswith("Overkill was not measured") for line in card.limits)
    assert any(line.startswith("Only 9 good images") for line in card.limits)
    assert not any(line.startswith("Misses were not") for line in card.limits)
    assert card.lineage.dvc == {"images": "e7.dir", "cells/padim/model": "f1.dir"}
    assert card.lineage.licence == "dinov3-license" and card.parameters == {"seed": 3}


def test_its_text_says_the_same_and_a_label_is_no_markup(workspace, release):
    card = write_model_card(workspace, "cap", release)
    text = (release / CARD_TEXT).read_text()
    assert r"| test | &lt;b&gt;\|\`scratch\` | 3 |" in text and "<b>" not in text
    assert "| miss | 0.25 | 0.1 | 0.5 | Share" in text and "| overkill | - | - | - |" in text
    for line in (*card.limits, *card.promises):
        assert line[:12] in text
    assert "dinov3-license" in text and "f1.dir" in text


def test_equal_content_is_one_card(workspace, release):
    write_model_card(workspace, "cap", release)
    first = [(release / name).read_bytes() for name in (CARD_JSON, CARD_TEXT)]
    write_model_card(workspace, "cap", release)
    assert [(release / name).read_bytes() for name in (CARD_JSON, CARD_TEXT)] == first
    assert json.loads(first[0])["version"] == 1
