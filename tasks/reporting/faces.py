"""The three pictures that stand for a model: a usual good part, the worst defect that it found,
and the worst that it missed."""

from typing import NamedTuple

from tasks.reporting.view import ModelView, Row


class Face(NamedTuple):
    """A test image and why it is shown."""

    title: str
    row: Row
    wrong: bool = False


def faces(model: ModelView) -> list[Face]:
    """At most three; what there is none of is left out."""
    good = sorted(
        (row for row in model.rows if row.label == "good" and row.decision == "good"), key=_score
    )
    caught = sorted((row for row in model.rows if _caught(row)), key=_score)
    passed = sorted(
        (row for row in model.rows if row.label != "good" and row.decision == "good"), key=_score
    )
    found = [Face("a good part", good[len(good) // 2])] if good else []
    if caught:
        found.append(Face("the worst defect found", caught[-1]))
    if passed:
        return [*found, Face("the worst defect missed", passed[0], wrong=True)]
    return [*found, Face("the defect nearest to being missed", caught[0])] if caught[1:] else found


def _caught(row: Row) -> bool:
    return row.label != "good" and row.decision in ("defect", "review")


def _score(row: Row) -> float:
    return row.score
