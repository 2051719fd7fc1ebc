"""A gate that a factory can trust: who is promoted, who is refused, and what is written down."""

import json
import shutil
import subprocess

import pytest

from flows.run import run_line
from tasks.promotion.decision import last_decision
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.paths import Workspace
from tests.flows.conftest import edit

WEAK = {"patchcore": {"layers": ["layer1"], "ratio": 0.01}}


@pytest.fixture(scope="module")
def weak(make, prefect, tmp_path_factory):
    """A product whose champion is a deliberately weak PatchCore. Only to be read."""
    root = tmp_path_factory.mktemp("weak")
    workspace = make(root, "plate", defaults__training={"folds": 4})
    edit(workspace, "plate", algorithms=WEAK)
    assert run_line(workspace, [], None)
    assert champion(store_of(workspace), "plate").algorithm == "patchcore"
    return workspace


@pytest.fixture
def champions(weak, tmp_path):
    """The same, to be changed."""
    shutil.copytree(weak.root, tmp_path / "line", symlinks=True)
    return Workspace(tmp_path / "line")


def run(command, workspace, **spec):
    """The decision of a run after these keys of the spec were set."""
    edit(workspace, "plate", **spec)
    assert command(workspace, "run").exit_code == 0
    return last_decision(workspace, "plate")


def test_better_is_promoted_rolled_back_and_promoted_again(champions, command):
    store = store_of(champions)
    weak = champion(store, "plate")
    edit(champions, "plate", algorithms=["padim"])
    decision = run(command, champions, gates={"margin": 0.6}, release={"onnx": True})
    assert decision.accepted, decision.reasons
    assert decision.compared.low >= -0.6
    assert decision.shipped.runtime == "onnx"
    strong = champion(store, "plate")
    assert (strong.algorithm, strong.previous) == ("padim", weak.release)
    assert command(champions, "rollback", "plate", "--reason", "too slow").exit_code == 0
    assert champion(store, "plate").release == weak.release
    refused = run(command, champions)
    assert not refused.accepted and "too slow" in refused.reasons[0]
    assert champion(store, "plate").release == weak.release
    assert command(champions, "promote", "plate", strong.release).exit_code == 0
    assert champion(store, "plate").release == strong.release
    kinds = [key.split("-")[-2] for key in sorted(store.keys("records/plate/"))]
    assert kinds == ["promote", "promote", "rollback", "refusal", "promote"]


def test_worse_is_refused_and_says_by_how_much(champions, command):
    run(command, champions, algorithms=["padim"], gates={"margin": 0.5})
    decision = run(command, champions, algorithms=WEAK, gates={"margin": 0.0})
    assert not decision.accepted
    assert "AUROC differs from the champion's by -0." in decision.reasons[0]
    assert champion(store_of(champions), "plate").algorithm == "padim"


def test_a_missed_critical_defect_blocks_a_better_auroc(champions, command):
    severity = {"types": {"scratch": "critical"}}
    threshold = {"policy": "fixed", "value": 1e9}  # passes everything
    decision = run(command, champions, algorithms=["padim"], severity=severity, threshold=threshold)
    assert decision.metrics.image_auroc > 0.6
    assert not decision.accepted
    assert any("critical" in reason for reason in decision.reasons), decision.reasons
    assert champion(store_of(champions), "plate").algorithm == "patchcore"


def test_a_new_test_set_has_the_champion_score_it_anew(champions, command):
    gone = sorted(champions.images("plate").glob("test/good/*.png"))[0]
    gone.unlink()
    decision = run(command, champions, algorithms=["padim"])
    assert decision.compared.evaluated_anew
    assert decision.metrics.test_good == 3


def test_a_budget_is_held_by_what_ships(champions, command):
    decision = run(command, champions, algorithms=["padim"], gates={"size_mb": 0.5, "margin": 0.5})
    assert not decision.accepted
    [check] = [c for c in decision.floors if c.name == "size_mb"]
    assert check.value > 0.5 and not check.passed
    assert f"size_mb is {check.value:.4g}, above" in decision.reasons[0]


def test_an_auditor_finds_what_a_release_is_from(champions, command):
    store = store_of(champions)
    pointer = champion(store, "plate")
    folder = f"releases/plate/{pointer.release}/"
    provenance = json.loads(store.get(folder + "provenance.json"))
    assert set(provenance["images"]) == {"train.csv", "test.csv", "manifest.csv"}
    assert {"torch", "onnxruntime", "inspectline"} <= set(provenance["packages"])
    assert provenance["spec"]["algorithms"]["patchcore"] == WEAK["patchcore"]
    details = json.loads(store.get(folder + "details.json"))
    low, high = details["intervals"]["image_auroc"]
    metrics = json.loads(store.get(folder + "metrics.json"))
    assert low <= metrics["image_auroc"] <= high
    kept = json.loads(store.get(pointer.record))
    assert kept["by"] and kept["decision"]["metrics"]["image_auroc"] == metrics["image_auroc"]
    assert "dvc.lock" in kept["decision"]["origin"]["edited"]  # of the first commit, by `init`


def test_a_refusal_is_kept_with_what_it_is_from(champions, command):
    git = ["git", "-C", str(champions.root), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["add", "--all"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *words], check=True)
    assert not run(command, champions, gates={"aupro_30": 1.0}).accepted
    store = store_of(champions)
    *_, key = [name for name in store.keys("records/plate/") if "refusal" in name]
    kept = json.loads(store.get(key))
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert kept["origin"]["commit"] == head.stdout.strip()
    assert "data/plate/product.yaml" in kept["origin"]["edited"]
    assert kept["provenance"]["parameters"]["seed"] == 0
    assert kept["provenance"]["spec"]["gates"]["aupro_30"] == 1.0
    assert kept["by"] and "aupro_30 is" in kept["reasons"][0]
