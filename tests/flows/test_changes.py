"""`threshold` and `correct` change a spec and labels, say what they did, and refuse plainly."""

import pytest
import yaml

from tests.flows.conftest import refused


@pytest.fixture
def cap(workspace, samples):
    """A workspace with a product whose images are there and nothing else."""
    import shutil

    shutil.copytree(samples / "cap", workspace.images("cap"))
    (workspace.product("cap") / "product.yaml").write_text("# ask Maria\n")
    return workspace


def test_threshold_shows_and_sets(cap, command):
    told = command(cap, "threshold", "cap").output
    assert "policy: auto" in told and "no cell is evaluated yet" in told
    assert "cost: miss 20, overkill 1, review 0.2, defects 0.05\n" in told
    assert "None" not in told and "{" not in told
    told = command(cap, "threshold", "cap", "--value", "3.5", "--reason", "trial").output
    assert "auto, overkill 0.2 → fixed, value 3.5" in told
    assert "data/cap/product.yaml" in told and "records/cap/" in told
    assert "value: 3.5" in command(cap, "threshold", "cap").output
    text = (cap.product("cap") / "product.yaml").read_text()
    assert text.startswith("# ask Maria\n")
    assert yaml.safe_load(text) == {"threshold": {"policy": "fixed", "value": 3.5}}


def test_correct_marks_a_label(cap, command):
    image = sorted(p.relative_to(cap.images("cap")) for p in cap.images("cap").glob("test/*/*"))[0]
    told = command(cap, "correct", "cap", image, "drop", "--reason", "out of focus").output
    assert f"{image}: {image.parent.name} → drop, in data/cap/corrections.yaml" in told
    [entry] = yaml.safe_load(cap.corrections("cap").read_text()).values()
    assert entry["label"] == "drop" and entry["why"] == "out of focus" and entry["by"]


def test_what_is_wrong_is_refused(cap, command):
    refused(command(cap, "threshold", "cap", "--value", "3"), "--reason")
    refused(command(cap, "threshold", "cup", "--value", "3", "--reason", "x"), "cup", "cap")
    wrong = ("threshold", "cap", "--overkill", "2", "--reason", "x")
    refused(command(cap, *wrong), "product.yaml", "overkill", "less than 1")
    refused(command(cap, "correct", "cap", "test/good/x.png", "drop", "--reason", "x"), "x.png")
