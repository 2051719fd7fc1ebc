"""Labels that most algorithms of a product contradict, read from the cells' scores."""

from typing import Any

from tasks.disagreements import disagreements
from tasks.files import read_rows
from tasks.spec import read_product
from tasks.workspace import Workspace

FEWEST = 3  # algorithms: two that agree are often wrong together
SURPRISING = 0.75  # share of the test set that must lie on the label's side of the score


def doubts(workspace: Workspace, product: str) -> list[dict[str, Any]]:
    """Candidates for relabelling, the most surprising first; needs `FEWEST` evaluated ones.

    A defect that is merely hard lies among the good ones; one whose score is below most of the
    test set, in most algorithms, may be none.
    """
    algorithms = read_product(workspace.root, product).algorithms
    paths = {a: workspace.evaluation(product, a) / "scores.csv" for a in algorithms}
    tables = {a: read_rows(path) for a, path in paths.items() if path.is_file()}
    if len(tables) < FEWEST:
        return []
    first = next(iter(tables.values()))
    order = [row["path"] for row in first]
    by_path = {a: {row["path"]: row for row in rows} for a, rows in tables.items()}
    if any(set(rows) != set(order) for rows in by_path.values()):
        return []  # cells of different test sets: the next run brings them together
    found = disagreements(
        order,
        [row["label"] for row in first],
        {a: [float(rows[path]["score"]) for path in order] for a, rows in by_path.items()},
        {a: [rows[path]["decision"] for path in order] for a, rows in by_path.items()},
    )
    return [one._asdict() for one in found if one.surprise > SURPRISING]
