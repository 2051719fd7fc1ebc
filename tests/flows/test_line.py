"""A run brings everything up to date once, decides, publishes and reports."""

import csv
import json
import shutil

from flows.run import run_line
from flows.running.plan import make_plan
from tasks.build.records import Cells
from tasks.promotion.decision import last_decision
from tasks.reporting.view import Row
from tasks.reporting.worst_pictures import error_kind
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.journal import journals
from tests.flows.conftest import STORY, edit, write_params

CELLS = [  # as the products name them
    ("cap", "padim"),
    ("cap", "fastflow"),
    ("plate", "padim"),
    ("plate", "patchcore"),
]
KEYS = [
    *("product", "algorithm", "preset", "image_size", "batch_size", "steps", "backbone"),
    *("image_auroc", "pixel_auroc", "aupro_30", "aupro_05"),
    *("image_f1_max", "threshold", "normal_recall", "abnormal_recall", "precision"),
    *("ms_per_image", "fit_seconds", "peak_memory_mb"),
]
MADE = {  # presets, steps and backbones of these cells
    ("paper, backbone drawnet, dims 20, at 64 px (paper: 224 px)", None, "drawnet"),
    ("paper, backbone drawnet, at 64 px (paper: 224 px)", None, "drawnet"),  # nothing is trained
    # ten passes of one batch
    ("paper with 3 values changed, at 64 px (paper: 256 px), batch 16 (paper: 32)", 10, "drawnet"),
}
DECIDED = [
    *("miss", "overkill", "review", "cost", "overkill_bound", "overkill_upper", "intervals"),
    *("threshold_policy", "pixel_threshold", "champion"),
]


def stages(workspace, products=("cap", "plate")):
    return {str(stage) for stage in make_plan(workspace, list(products)).stages}


def test_a_run_leaves_every_cell_a_champion_and_a_report(trained, copy, command):
    rows = json.loads(command(copy, "results", "--json").stdout)
    assert {(row["product"], row["algorithm"]) for row in rows} == {*CELLS}
    assert all(list(row)[: len(KEYS)] == KEYS for row in rows)
    assert all(set(row) == {*KEYS, *DECIDED} for row in rows)
    assert {(row["preset"], row["steps"], row["backbone"]) for row in rows} == MADE
    with (trained.root / "data" / "leaderboard.csv").open() as file:
        assert [(r["product"], r["algorithm"]) for r in csv.DictReader(file)] == CELLS
    for product in ("cap", "plate"):
        decision = last_decision(trained, product)
        current = champion(store_of(trained), product)
        assert decision.accepted and decision.challenger.release == current.release
        least = min(row["cost"] for row in rows if row["product"] == product)
        assert decision.metrics.cost == least
        [best] = [row for row in rows if row["product"] == product and row["champion"]]
        assert best["algorithm"] == current.algorithm
    [report] = trained.root.glob("report/*/report.html")
    assert all(name in report.read_text() for cell in CELLS for name in cell)


def test_a_run_leaves_a_journal_of_every_stage_and_gate(trained):
    [told] = journals(trained)
    steps = {(*name.split(), "")[:3] for name in told["stages"]}
    cells = {(step, *cell) for step in ("fit", "evaluate") for cell in CELLS}
    per_product = {(step, p, "") for step in ("validate", "gate") for p in ("cap", "plate")}
    assert steps == cells | per_product | {("leaderboard", "")}
    assert {stage["state"] for stage in told["stages"].values()} == {"done"}
    assert told["ended"] and not told["alive"]
    assert all(stage["began"] <= stage["ended"] for stage in told["stages"].values())


def test_a_second_run_trains_nothing(copy, command):
    before = {p: p.stat().st_mtime_ns for p in copy.root.glob("data/*/cells/*/*/*")}
    result = command(copy, "run")
    assert result.exit_code == 0 and "nothing to train" in result.output
    assert before == {p: p.stat().st_mtime_ns for p in copy.root.glob("data/*/cells/*/*/*")}


def test_a_parameter_of_an_algorithm_reaches_its_cells_only(copy):
    write_params(copy.root, algorithms__padim={"backbone": "drawnet", "dims": 10})
    assert stages(copy) == {f"{s} {p} padim" for s in ("fit", "evaluate") for p in ("cap", "plate")}


def test_an_override_of_a_product_reaches_its_cell_only(copy):
    edit(copy, "cap", algorithms={"padim": {"dims": 10}, "fastflow": None})
    assert stages(copy) == {"fit cap padim", "evaluate cap padim"}


def test_a_threshold_evaluates_and_fits_nothing(copy):
    edit(copy, "plate", threshold={"overkill": 0.3})
    assert stages(copy) == {"evaluate plate padim", "evaluate plate patchcore"}


def test_settings_of_the_line_change_nothing(copy):
    write_params(copy.root, line={"device": "cpu", "retries": 3, "slots": 2})
    assert not stages(copy)


def test_a_new_test_image_evaluates_anew_and_fits_nothing(copy, samples, prefect):
    shutil.copy(
        samples / "weave" / "test" / "good" / "000.png",
        copy.images("plate") / "test" / "good" / "new.png",
    )
    models = {p: p.read_bytes() for p in copy.root.glob("data/plate/cells/*/model/*")}
    assert run_line(copy, ["plate"], None)
    assert models == {p: p.read_bytes() for p in copy.root.glob("data/plate/cells/*/model/*")}
    metrics = json.loads((copy.evaluation("plate", "padim") / "metrics.json").read_text())
    assert metrics["test_good"] == 5
    assert not stages(copy)


def test_gates_decide_anew_and_train_nothing(copy, command, monkeypatch):
    read, init = [], Cells.__init__
    monkeypatch.setattr(Cells, "__init__", lambda self, *to: read.append(to) or init(self, *to))
    held = champion(store_of(copy), "plate")
    edit(copy, "plate", gates={"ms_per_image": 0.001})
    assert not stages(copy)
    read.clear()
    result = command(copy, "run")
    assert len(read) == 1  # the build graph
    assert result.exit_code == 0
    assert "ms_per_image is" in result.output and "above the limit of 0.001" in result.output
    assert f"{held.release} is champion" in result.output
    assert champion(store_of(copy), "plate") == held
    assert "nothing to train" in command(copy, "run").output  # the refusal is not repeated


def test_the_report_can_be_written_alone(copy, command):
    path = command(copy, "report").stdout.strip()
    assert path.endswith("report.html") and (copy.root / path).is_file()


def test_the_prefect_ui_tells_the_story(trained):
    artifacts = json.loads((trained.root.parent / STORY).read_text())
    [page] = trained.root.glob("report/*/report.html")
    [run] = {
        a["flow_run_id"] for a in artifacts if a["key"] == "report" and page.as_uri() in a["data"]
    }
    found = {one["key"]: one for one in artifacts if one["flow_run_id"] == run}  # not of other runs
    assert {"leaderboard", "report", "decision-cap", "decision-plate"} <= found.keys()
    told = found["decision-plate"]["data"]
    assert "plate" in told and "| gate | limit |" in told
    wrong = [row for row in scores(trained, "plate", told) if error_kind(row)]
    assert told.count("](data:image/jpeg;base64,") == min(4, len(wrong))


def scores(workspace, product, told):
    """Rows of the cell that a decision was about."""
    algorithm = told.split()[2]
    lines = (workspace.evaluation(product, algorithm) / "scores.csv").read_text().splitlines()
    return [Row(*line.split(",")[:2], 0.0, line.split(",")[3]) for line in lines[1:]]


def test_cells_of_one_backbone_share_features_where_there_is_a_disk(make, prefect, on_disk):
    workspace = make(on_disk / "ws", "cap")
    edit(workspace, "cap", algorithms=["padim", "semi_orthogonal"])
    cell = {"backbone": "drawnet", "dims": 20}
    write_params(workspace.root, algorithms={"padim": cell, "semi_orthogonal": cell})
    assert run_line(workspace, [], None)
    layers = [{path.name for path in layer.iterdir()} for layer in workspace.features.iterdir()]
    assert len(layers) == 3 and layers[0]  # those of both cells
    assert layers[0] == layers[1] == layers[2]  # an image is in each of them once
