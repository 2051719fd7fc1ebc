"""Labels to look at: many algorithms, and a score far on the other side."""

import pytest

from tasks.reporting.disagreements import doubtful_labels
from tasks.workspace.files import write_rows
from tasks.workspace.paths import Workspace

NAMES = ("padim", "patchcore", "reverse_distillation")
# twelve test images, scores rising; the first is called a crack and is the least anomalous
LABELS = ["crack"] + ["good"] * 5 + ["crack"] * 6


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "data" / "cap").mkdir(parents=True)
    spec = tmp_path / "data" / "cap" / "product.yaml"
    spec.write_text(f"algorithms: [{', '.join(NAMES)}]\n")
    return Workspace(tmp_path)


def evaluated(workspace, algorithm, threshold):
    folder = workspace.evaluation("cap", algorithm)
    folder.mkdir(parents=True)
    rows = [
        {
            "path": f"{score:02}.png",
            "label": label,
            "score": score,
            "decision": "defect" if score > threshold else "good",
        }
        for score, label in enumerate(LABELS)
    ]
    write_rows(folder / "scores.csv", rows[0], rows)


def test_only_what_is_far_on_the_other_side_is_doubted(workspace):
    for name in NAMES:
        evaluated(workspace, name, threshold=7.5)  # misses two cracks that are merely hard
    [one] = doubtful_labels(workspace, "cap")
    assert (one["path"], one["suggested"], one["asked"]) == ("00.png", "good", 3)


def test_two_algorithms_are_too_few(workspace):
    for name in NAMES[:2]:
        evaluated(workspace, name, threshold=5.5)
    assert doubtful_labels(workspace, "cap") == []


def test_what_a_person_judged_is_not_doubted_again(workspace):
    for name in NAMES:
        evaluated(workspace, name, threshold=7.5)
    workspace.corrections("cap").write_text("00.png: {label: crack, by: anna, why: it is one}\n")
    assert doubtful_labels(workspace, "cap") == []
