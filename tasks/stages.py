"""The build graph: dvc.yaml of the workspace and of each product, written from the specs.

One dvc.yaml per product, because DVC reads and rewrites a whole dvc.lock for every stage:
in one file the cost of hundreds of cells grows with their square.

An algorithm whose learning products share has one stage more, in the workspace's own dvc.yaml:
`pretrain` learns once, from the products that its recipe names, and the fit of each product
calibrates what came of it. The recipe holds the values of all keys that the learning reads.
"""

from pathlib import Path
from typing import Any

import yaml

from tasks.automatic import count, refresh, teachers
from tasks.code import STEPS, closure
from tasks.errors import SpecError
from tasks.files import write_text
from tasks.spec import (
    algorithm_parameters,
    is_automatic,
    per_product,
    preset_of,
    read_params,
    read_product,
    read_yaml,
    shared_parameters,
    trained_on,
)
from tasks.workspace import PACKAGE, SCRATCH, Workspace, link_package

HEAD = "# Written by `inspectline sync` from params.yaml and product.yaml. Edit those instead.\n"
# Which sections of the spec each step reads: only these make it stale.
READS = {
    "validate": ("validation", "image"),
    "fit": ("image", "training"),
    "evaluate": ("threshold", "regions", "severity", "evaluation"),
}


def sync(workspace: Workspace) -> list[Path]:
    """Bring every dvc.yaml in line with the specs; the files that changed."""
    link_package(workspace)
    chosen = choose_automatically(workspace)
    graphs = {workspace.root / "dvc.yaml": workspace_graph(workspace)}
    for algorithm in filter(per_product, _used(workspace)):
        graphs[workspace.recipe(algorithm)] = recipe(workspace, algorithm)
    for product in workspace.products:
        graphs[workspace.product(product) / "dvc.yaml"] = product_graph(workspace, product)
    return chosen + [path for path, graph in graphs.items() if _write(path, graph)]


def choose_automatically(workspace: Workspace) -> list[Path]:
    """Bring the choices of products with `algorithms: auto` up to date; the files that changed."""
    products = workspace.products
    chosen = [product for product in products if is_automatic(workspace.root, product)]
    if not chosen:
        return []
    steps = read_params(workspace.root).auto or read_params(PACKAGE).auto
    specs = {product: read_product(workspace.root, product) for product in products}
    images = {product: count(workspace, product) for product in chosen}
    teaching = teachers(images, products)
    sizes = {specs[product].image.seen for product in teaching}
    shared = tuple(name for names in steps.values() for name in names if per_product(name))
    return [
        workspace.product(product) / "auto.yaml"
        for product in chosen
        if refresh(
            workspace,
            product,
            steps,
            images[product],
            gates=specs[product].gates.model_dump(),
            # what is shared is learned at one size
            others=teaching != [product] and sizes == {specs[product].image.seen},
            shared=shared,
        )
    ]


def workspace_graph(workspace: Workspace) -> dict[str, Any]:
    """What spans products: fingerprints of the code, shared learning, and the leaderboard."""
    chosen = {p: read_product(workspace.root, p).algorithms for p in workspace.products}
    stages: dict[str, Any] = {}
    for name in (*STEPS, *_used(workspace)):
        stages[f"code-{name}"] = {
            "cmd": f"python -m tasks.code {name}",
            "deps": [f"{SCRATCH}/package/{path}" for path in closure(name)],
            "outs": [f"data/.code/{name}.json"],
        }
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


def _used(workspace: Workspace) -> list[str]:
    """Algorithms that any product asks for, sorted."""
    return sorted(
        {a for p in workspace.products for a in read_product(workspace.root, p).algorithms}
    )


def recipe(workspace: Workspace, algorithm: str) -> dict[str, Any]:
    """All that a shared algorithm learns by, but the images: parameters, products, preprocessing.

    Values and not the names of keys: DVC does not notice a key that was taken out of its list.
    """
    specs = {
        product: read_product(workspace.root, product)
        for product in trained_on(workspace.root, algorithm, workspace.products)
    }
    return {
        "parameters": shared_parameters(workspace.root, algorithm),
        "batch_size": read_params(workspace.root).defaults.training.batch_size,
        "products": {
            product: {
                "image": spec.image.model_dump(mode="json"),
                "calibration": spec.training.calibration,
            }
            for product, spec in specs.items()
        },
    }


def product_graph(workspace: Workspace, product: str) -> dict[str, Any]:
    """Validation and the cells of one product. Paths are relative to its folder."""
    spec = read_product(workspace.root, product)
    known = workspace.corrections(product).is_file()  # DVC refuses a dependency that is missing
    corrections = [workspace.corrections(product).name] * known
    stages: dict[str, Any] = {
        "validate": {
            "cmd": f"python -m tasks.validate {product}",
            "deps": ["images", *corrections, "../.code/validate.json"],
            "params": _params(workspace, product, READS["validate"]),
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
        "params": _params(workspace, product, READS["fit"], algorithm),
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
        "params": _params(workspace, product, READS["evaluate"]),
        "outs": [f"{folder}/{name}" for name in EVALUATION_OUTS],
        "metrics": [f"{folder}/metrics.json"],
        "plots": [{f"{folder}/{file}": {**shown}} for file, shown in PLOTS.items()],
    }


def _params(
    workspace: Workspace, product: str, sections: tuple[str, ...], algorithm: str | None = None
) -> list[dict[str, list[str]]]:
    """DVC's `params` for the keys that are really there: it refuses a key that is missing."""
    general = read_yaml(workspace.root / "params.yaml")
    own = read_yaml(workspace.product(product) / "product.yaml")
    defaults = general.get("defaults") or {}
    keys = [f"defaults.{section}" for section in sections if section in defaults]
    mine = [section for section in sections if section in own]
    if algorithm:
        keys += [f"algorithms.{algorithm}"] * (algorithm in (general.get("algorithms") or {}))
        mine += [f"algorithms.{algorithm}"] * _overrides(own, algorithm)
        preset = preset_of(general, own, algorithm)
        has = algorithm in ((general.get("presets") or {}).get(preset) or {})
        keys += [f"presets.{preset}.{algorithm}"] * has
        inherited = "algorithms" not in own and _overrides(defaults, algorithm)
        keys += [f"defaults.algorithms.{algorithm}"] * inherited
    return [{"../../params.yaml": keys}] * bool(keys) + [{"product.yaml": mine}] * bool(mine)


def _overrides(spec: dict[str, Any], algorithm: str) -> bool:
    """Whether the spec has parameters for the algorithm: its bare name changes no cell."""
    named = spec.get("algorithms")
    return isinstance(named, dict) and bool(named.get(algorithm))


def _write(path: Path, graph: dict[str, Any]) -> bool:
    """Write only what changed: a rewritten file would look edited to git."""
    text = HEAD + yaml.safe_dump(graph, sort_keys=False, width=100)
    if path.exists() and path.read_text() == text:
        return False
    write_text(path, text)
    return True
