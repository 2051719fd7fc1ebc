"""The build graph: dvc.yaml of the workspace and of each product, written from the specs.

One dvc.yaml per product, because DVC reads and rewrites a whole dvc.lock for every stage:
in one file the cost of hundreds of cells grows with their square.

An algorithm whose learning products share has one stage more, in the workspace's own dvc.yaml:
`pretrain` learns once, from the products that its recipe names, and the fit of each product
calibrates what came of it. What a stage reads of the specs stands in a recipe, as values.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tasks.build.choose_algorithms import count, refresh
from tasks.build.fingerprint import STEPS, closure
from tasks.build.upgrade import Upgrade, needed
from tasks.spec.algorithms import per_product
from tasks.spec.automatic import teachers
from tasks.spec.cell_input import cell_input
from tasks.spec.parameters import algorithm_parameters, trained_on
from tasks.spec.read import (
    default_params,
    forget_mistake,
    is_automatic,
    keep_spec,
    kept_specs,
    mistake_in,
    read_as_written,
    read_params,
    read_product,
    set_aside,
    spec_file,
)
from tasks.spec.recipe import product_recipe, shared_recipe
from tasks.spec.schema import Product
from tasks.workspace.errors import SpecError, WorkspaceError
from tasks.workspace.files import write_text
from tasks.workspace.names import corrected
from tasks.workspace.paths import SCRATCH, Workspace, find, link_package

HEAD = "# Written by `inspectline sync` from params.yaml and product.yaml. Edit those instead.\n"


def sync(workspace: Workspace, asked: Sequence[str] = ()) -> list[Path]:
    """Bring every dvc.yaml in line with the specs; the files that changed.

    A product whose product.yaml has a mistake stays as it is, and stops no other: SpecError if it
    is one of those `asked` for, or if no sync has seen it right. See also `misnamed`.
    """
    old = Upgrade(workspace) if needed(workspace) else None
    link_package(workspace)
    settle(workspace)
    if mistakes := [found for p in asked if (found := mistake_in(workspace.root, p))]:
        raise SpecError("; ".join(mistakes))
    chosen = choose_automatically(workspace)
    graphs = {workspace.root / "dvc.yaml": workspace_graph(workspace)}
    for algorithm in filter(per_product, _used(workspace)):
        with left_alone(workspace, *workspace.products):
            made = shared_recipe(workspace.root, algorithm, workspace.products)
            graphs[workspace.recipe(algorithm)] = made
    for product in workspace.products:
        with left_alone(workspace, product):
            graphs[workspace.product(product) / "dvc.yaml"] = product_graph(workspace, product)
    changed = [path for path, graph in graphs.items() if _write(path, graph)]
    changed += recipes(workspace)
    if old:
        changed += old.record()
    return chosen + changed


def misnamed(workspace: Workspace) -> dict[str, str]:
    """Folders that are left out, for their names cannot be those of products: they would become
    part of commands. What to do, by name."""
    return {
        name: f"the folder {name!r} in {workspace.root / 'data'} has a product.yaml, but its name "
        f"cannot name a product; rename it, for example to {corrected(name)!r}"
        for name in workspace.misnamed
    }


def settle(workspace: Workspace) -> None:
    """Keep what each product.yaml says, if its stages can be planned; else set it aside."""
    for kept in kept_specs(workspace.root):
        if kept.stem not in workspace.products:  # or another product of that name could get it
            kept.unlink()
    for product in workspace.products:
        try:
            check_product(workspace, product)
        except SpecError as error:
            set_aside(workspace.root, product, error)
        else:
            keep_spec(workspace.root, product)


def check_product(workspace: Workspace, product: str) -> Product:
    """The whole spec by what product.yaml says; SpecError unless stages can be planned by it."""
    forget_mistake(workspace.root, product)
    try:
        spec = read_as_written(workspace.root, product)
        product_recipe(workspace.root, product)
        product_graph(workspace, product)
    except SpecError as error:
        text = str(error).removeprefix(f"{product}: ")
        named = text.startswith(str(workspace.root))  # this file, or params.yaml
        path = spec_file(workspace.root, product)
        raise SpecError(text if named else f"{path}: {text}") from error
    return spec


@contextmanager
def left_alone(workspace: Workspace, *products: str) -> Iterator[None]:
    """As a block: what cannot be planned stays as it is, if it may be a mistake in one of these
    that is told already: what it said before need not be right any more either."""
    try:
        yield
    except SpecError:
        if not any(mistake_in(workspace.root, product) for product in products):
            raise


def choose_automatically(workspace: Workspace) -> list[Path]:
    """Bring the choices of products with `algorithms: auto` up to date; the files that changed."""
    products = workspace.products
    chosen = [product for product in products if is_automatic(workspace.root, product)]
    if not chosen:
        return []
    steps = read_params(workspace.root).auto or default_params().auto
    gates = {product: read_product(workspace.root, product).gates for product in chosen}
    images = {product: count(workspace, product) for product in chosen}
    teaching = teachers(images, products)
    shared = {name for names in steps.values() for name in names if per_product(name)}
    seen = {}
    for product in products:
        for name in shared:
            with left_alone(workspace, product):
                seen[product, name] = cell_input(workspace.root, product, name).image.seen

    def taught(product: str, name: str) -> bool:
        """Whether there are products to learn from: what is shared is learned at one size."""
        sizes = {seen[one, name] for one in [product, *teaching] if (one, name) in seen}
        return teaching != [product] and len(sizes) == 1

    return [
        workspace.product(product) / "auto.yaml"
        for product in chosen
        if refresh(
            workspace,
            product,
            steps,
            images[product],
            gates=gates[product].model_dump(),
            untaught=frozenset(name for name in shared if not taught(product, name)),
        )
    ]


def workspace_graph(workspace: Workspace) -> dict[str, Any]:
    """What spans products: fingerprints of the code, shared learning, and the leaderboard."""
    chosen = {p: read_product(workspace.root, p).algorithms for p in workspace.products}
    code = [*STEPS, *_used(workspace)]
    stages: dict[str, Any] = {
        "code": {
            "cmd": f"python -m tasks.build.fingerprint {' '.join(code)}",
            "deps": [f"{SCRATCH}/package/{path}" for path in closure(*code)],
            "outs": [f"data/.code/{name}.json" for name in code],
        }
    }
    if chosen:
        stages["recipes"] = _recipes(workspace)
    for algorithm in filter(per_product, _used(workspace)):
        products = trained_on(workspace.root, algorithm, workspace.products)
        stages[f"pretrain-{algorithm}"] = {
            "cmd": f"python -m tasks.pretrain {algorithm}",
            "deps": [
                *(f"data/{product}/validation/train.csv" for product in products),
                f"data/.shared/{algorithm}.yaml",
                "data/.code/pretrain.json",
                f"data/.code/{algorithm}.json",
            ],
            "outs": [f"data/.shared/{algorithm}"],
        }
    cells = [f"data/{p}/cells/{a}/evaluation" for p, names in chosen.items() for a in names]
    if cells:
        stages["leaderboard"] = {
            "cmd": "python -m tasks.leaderboard",
            "deps": [f"{cell}/metrics.json" for cell in cells],
            "outs": ["data/leaderboard.csv"],
        }
    return {"stages": stages}


def _recipes(workspace: Workspace) -> dict[str, Any]:
    """Resolves the specs into recipes, also where `dvc repro` is called after an edit."""
    products = workspace.products
    automatic = [f"data/{p}/auto.yaml" for p in products if is_automatic(workspace.root, p)]
    return {
        "cmd": "python -m tasks.build.graph",
        "deps": ["params.yaml", *(f"data/{p}/product.yaml" for p in products), *automatic],
        # people read them in git; what is written is what was there where nothing changed
        "outs": [{f"data/{p}/recipe.yaml": {"cache": False, "persist": True}} for p in products],
    }


def _used(workspace: Workspace) -> list[str]:
    """Algorithms that any product asks for, sorted."""
    return sorted(
        {a for p in workspace.products for a in read_product(workspace.root, p).algorithms}
    )


def recipes(workspace: Workspace) -> list[Path]:
    """Write the recipe of every product; those that changed."""
    made = {}
    for product in workspace.products:
        with left_alone(workspace, product):
            made[workspace.product_recipe(product)] = product_recipe(workspace.root, product)
    return [path for path, content in made.items() if _write(path, content)]


def product_graph(workspace: Workspace, product: str) -> dict[str, Any]:
    """Validation and the cells of one product. Paths are relative to its folder."""
    spec = read_product(workspace.root, product)
    known = workspace.corrections(product).is_file()  # DVC refuses a dependency that is missing
    corrections = [workspace.corrections(product).name] * known
    stages: dict[str, Any] = {
        "validate": {
            "cmd": f"python -m tasks.validate {product}",
            "deps": ["images", *corrections, "../.code/validate.json"],
            "params": [{"recipe.yaml": ["validate"]}],
            "outs": [f"validation/{name}" for name in VALIDATION_OUTS],
        }
    }
    for algorithm in spec.algorithms:
        stages[f"fit-{algorithm}"] = _fit(workspace, product, algorithm)
        stages[f"evaluate-{algorithm}"] = _evaluate(workspace, product, algorithm)
    return {"stages": stages}


EVALUATION_OUTS = ("threshold.json", "details.json", "exhibits.zip")
PLOTS = {  # for `dvc plots show`
    "scores.csv": {"template": "confusion", "x": "decision", "y": "label", "title": "Decisions"},
    "roc.csv": {"x": "fpr", "y": "tpr", "title": "ROC of images"},
    "pro.csv": {"x": "fpr", "y": "pro", "title": "PRO of regions"},
}
VALIDATION_OUTS = ("manifest.csv", "train.csv", "test.csv", "result.json", "docs")


def _fit(workspace: Workspace, product: str, algorithm: str) -> dict[str, Any]:
    teacher = algorithm_parameters(workspace.root, product, algorithm).get("teacher")
    if teacher and not (workspace.root / teacher).is_file():
        raise SpecError(
            f"{algorithm}.teacher: no file {teacher} in {workspace.root}; `inspectline distil` "
            "makes one"
        )
    return {
        "cmd": f"python -m tasks.fit {product} {algorithm}",
        # train.csv carries every image's hash: a dependency on the folder itself would have
        # DVC look at each file once for every cell
        "deps": [
            "validation/train.csv",
            "../.code/fit.json",
            f"../.code/{algorithm}.json",
            *([f"../.shared/{algorithm}"] if per_product(algorithm) else []),
            *([str(Path("../..", teacher))] if teacher else []),
        ],
        "params": [{"recipe.yaml": [f"fit.{algorithm}"]}],
        "outs": [f"cells/{algorithm}/model"],
    }


def _evaluate(workspace: Workspace, product: str, algorithm: str) -> dict[str, Any]:
    folder = f"cells/{algorithm}/evaluation"
    return {
        "cmd": f"python -m tasks.evaluate {product} {algorithm}",
        "deps": [
            f"cells/{algorithm}/model",
            "validation/test.csv",
            "../.code/evaluate.json",
            f"../.code/{algorithm}.json",
        ],
        "params": [{"recipe.yaml": ["evaluate"]}],
        "outs": [f"{folder}/{name}" for name in EVALUATION_OUTS],
        "metrics": [f"{folder}/metrics.json"],
        "plots": [{f"{folder}/{file}": {**shown}} for file, shown in PLOTS.items()],
    }


def _text(graph: dict[str, Any]) -> str:
    return HEAD + yaml.safe_dump(graph, sort_keys=False, width=100)


def is_ours(path: Path) -> bool:
    """Whether a file is one that `sync` writes, in this version or an earlier one; an empty one
    may be replaced."""
    text = path.read_text()
    return not text.strip() or text.startswith(HEAD.split(" from ", maxsplit=1)[0])


def _write(path: Path, graph: dict[str, Any]) -> bool:
    """Write only what changed: a rewritten file would look edited to git."""
    text = _text(graph)
    if path.exists() and path.read_text() == text:
        return False
    if path.name == "dvc.yaml" and path.exists() and not is_ours(path):
        raise WorkspaceError(
            f"{path} is not one that `inspectline sync` wrote; move it away, or work with a "
            "workspace in another folder"
        )
    write_text(path, text)
    return True


def main() -> None:
    """What `dvc repro` runs where a spec was edited: recipes, for a graph that still fits."""
    workspace = find()
    for product in workspace.products:
        try:
            check_product(workspace, product)
        except SpecError as error:
            sys.exit(f"error: {error}")
        path = workspace.product(product) / "dvc.yaml"
        if _text(product_graph(workspace, product)) != path.read_text():
            sys.exit(
                f"error: {path} is not what its product.yaml and params.yaml ask for now; run "
                "`inspectline sync`, then `dvc repro` again"
            )
    recipes(workspace)


if __name__ == "__main__":
    main()
