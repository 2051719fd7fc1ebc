"""Products that lack something: one that fails stops no other, and what is unknown is null."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.promotion.decision import last_decision
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.files import read_rows
from tests.flows.conftest import edit

PIXEL = ("pixel_auroc", "aupro_30", "aupro_05")


@pytest.fixture
def workspace(make, prefect, tmp_path):
    return make(tmp_path / "ws")


def rows(workspace, command):
    found = json.loads(command(workspace, "results", "--json").stdout)
    return {(row["product"], row["algorithm"]): row for row in found}


def only_padim(workspace, product, **keys):
    edit(workspace, product, algorithms=["padim"], **keys)


def test_a_product_that_fails_validation_stops_no_other(workspace, samples, command, tmp_path):
    source = tmp_path / "leak"
    shutil.copytree(samples / "cap", source)
    for name in ("cap", "leak"):
        command(workspace, "ingest", name, source)
        only_padim(workspace, name)
    images = workspace.images("leak")
    shutil.copy(images / "train" / "good" / "000.png", images / "test" / "good" / "900.png")
    result = command(workspace, "run")
    assert result.exit_code == 1
    assert "failed: validate leak: test/good/900.png: " in result.output
    assert "train/good/000.png" in result.output
    assert set(rows(workspace, command)) == {("cap", "padim")}
    assert last_decision(workspace, "cap").accepted
    assert last_decision(workspace, "leak") is None
    [report] = workspace.root.glob("report/*/report.html")
    assert "leak" in report.read_text() and "test/good/900.png" in report.read_text()
    (images / "test" / "good" / "900.png").unlink()
    assert command(workspace, "run").exit_code == 0
    assert ("leak", "padim") in rows(workspace, command)


def test_without_masks_pixel_figures_are_unknown(workspace, samples, command, tmp_path):
    source = tmp_path / "nomasks"
    shutil.copytree(samples / "cap" / "train", source / "train")
    shutil.copytree(samples / "cap" / "test" / "good", source / "test" / "good")
    defect = next(p for p in sorted((samples / "cap" / "test").iterdir()) if p.name != "good")
    shutil.copytree(defect, source / "test" / "ng1")
    assert command(workspace, "ingest", "plain", source).exit_code == 0
    only_padim(workspace, "plain", gates={"aupro_30": 0.1})
    result = command(workspace, "run")
    assert result.exit_code == 0, result.output
    row = rows(workspace, command)["plain", "padim"]
    assert [row[name] for name in PIXEL] == [None] * 3
    assert 0 <= row["image_auroc"] <= 1
    assert "set gates.aupro_30: null" in result.output


def test_images_put_aside_set_the_threshold_alone(workspace, samples, command, tmp_path):
    source = tmp_path / "aside"
    shutil.copytree(samples / "cap", source)
    defect = next(p.name for p in sorted((source / "test").iterdir()) if p.name != "good")
    for label in ("good", defect):
        (source / "calibration" / label).mkdir(parents=True)
        first = min((source / "test" / label).iterdir())
        first.rename(source / "calibration" / label / first.name)
    command(workspace, "ingest", "cap", source)
    only_padim(workspace, "cap", threshold={"policy": "max_miss", "min_defects": 1})
    result = command(workspace, "run")
    assert result.exit_code == 0, result.output
    cell = workspace.evaluation("cap", "padim")
    metrics = json.loads((cell / "metrics.json").read_text())
    assert (metrics["calibration_images"], metrics["calibration_defects"]) == (1, 1)
    tested = [row["path"] for row in read_rows(cell / "scores.csv")]
    assert sorted(tested) == sorted(
        str(path.relative_to(source)) for path in source.glob("test/*/*.png")
    )
    record = json.loads((cell / "threshold.json").read_text())
    assert record["policy_used"] == "max_miss"
    [*_, row] = [
        r for r in command(workspace, "threshold", "cap").output.splitlines() if "max_miss 0%" in r
    ]
    assert row.split()[2] == f"{record['threshold']:.6g}"  # by the images put aside alone
    images = workspace.images("cap")
    shutil.copy(images / tested[0], images / "calibration" / "good" / "x.png")
    result = command(workspace, "run")
    assert result.exit_code == 1
    assert f"{tested[0]}: same content as calibration/good/x.png" in result.output


def test_with_good_images_only_a_gate_asks_to_be_set_aside(workspace, samples, command, tmp_path):
    source = tmp_path / "good"
    shutil.copytree(samples / "plate" / "train" / "good", source)
    assert command(workspace, "ingest", "plate", source).exit_code == 0
    only_padim(workspace, "plate")
    result = command(workspace, "run")
    assert result.exit_code == 0, result.output
    row = rows(workspace, command)["plate", "padim"]
    unknown = (*PIXEL, "image_auroc", "image_f1_max", "normal_recall", "precision")
    assert [row[name] for name in unknown] == [None] * 7
    assert row["threshold"] is not None
    assert "set gates.image_auroc: null" in result.output
    assert champion(store_of(workspace), "plate") is None
    edit(workspace, "plate", gates={"image_auroc": None})
    assert command(workspace, "run").exit_code == 0
    assert champion(store_of(workspace), "plate").algorithm == "padim"


def test_grey_deep_and_mixed_images_run_through(workspace, samples, command, tmp_path):
    for name, change in {"grey": grey, "deep": deep, "mixed": larger}.items():
        source = tmp_path / name
        shutil.copytree(samples / "cap", source)
        for number, path in enumerate(sorted(source.glob("t*/*/*.png"))):
            change(path, number)
        if name == "mixed":
            shutil.rmtree(source / "ground_truth")
        assert command(workspace, "ingest", name, source).exit_code == 0
        only_padim(workspace, name)
    result = command(workspace, "run")
    assert result.exit_code == 0, result.output
    found = rows(workspace, command)
    assert {product for product, _ in found} == {"grey", "deep", "mixed"}
    assert all(row["image_auroc"] is not None for row in found.values())


def grey(path: Path, number: int) -> None:
    Image.open(path).convert("L").save(path)


def deep(path: Path, number: int) -> None:
    image = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 257
    Image.fromarray(image).save(path)


def larger(path: Path, number: int) -> None:
    if number % 3 == 0:
        Image.open(path).resize((80, 96)).save(path)
