"""Which stages a run has to look at: those DVC calls stale, and all that follow from them."""

from dataclasses import dataclass, field
from pathlib import Path

from tasks.build.fingerprint import write_fingerprints
from tasks.build.graph import misnamed, sync
from tasks.build.records import Cells, Stage
from tasks.build.upgrade import forget_old_code
from tasks.spec.algorithms import per_product
from tasks.spec.automatic import cheapest_first, choice_of, soon
from tasks.spec.parameters import trained_on
from tasks.spec.read import is_automatic, mistake_in, read_product
from tasks.workspace.errors import SpecError
from tasks.workspace.paths import Workspace


@dataclass(frozen=True)
class Plan:
    workspace: Workspace
    cells: Cells
    products: list[str]
    stages: list[Stage] = field(default_factory=list)  # in the order of the graph
    mistakes: dict[str, str] = field(default_factory=dict)  # of products that are left out

    def needs(self, stage: Stage) -> list[Stage]:
        """The stages that must have ended before this one."""
        validation = Stage("validate", stage.product)
        match stage.step:
            case "pretrain":
                return [Stage("validate", p) for p in _taught_by(self.workspace, stage.algorithm)]
            case "fit":
                return [validation, *_shared([stage.algorithm])]
            case "evaluate":
                return [validation, Stage("fit", stage.product, stage.algorithm)]
        return []

    def without(self, lost: set[str]) -> list[Stage]:
        """Stages that need none of these, which have failed, nor anything behind them."""
        lost = set(lost)
        found = []
        for stage in self.stages:
            if str(stage) in lost or any(str(need) in lost for need in self.needs(stage)):
                lost.add(str(stage))
            else:
                found.append(stage)
        return found

    def soon(self, product: str) -> list[Stage]:
        """Stages of the cells that a first gate can decide on long before the other ones are there;
        none where there are no others."""
        if not is_automatic(self.workspace.root, product):
            return []
        names = soon(choice_of(self.workspace.product(product)))
        cells = [stage for stage in self.stages if stage.product == product and stage.algorithm]
        found = [stage for stage in cells if stage.algorithm in names]
        return found if len(found) < len(cells) else []

    def current(self, product: str) -> list[str]:
        """Algorithms of the product whose cells are up to date: all that a gate may look at."""
        if self.cells.stale([Stage("validate", product)]):
            return []
        names = _algorithms(self.workspace, product, None)
        steps = [Stage(step, product, name) for name in names for step in ("fit", "evaluate")]
        stale = {stage.algorithm for stage in self.cells.stale([*_shared(names), *steps])}
        return [name for name in names if name not in stale]


def make_plan(
    workspace: Workspace, products: list[str], algorithms: list[str] | None = None
) -> Plan:
    """Ask DVC once; fingerprints of the code are brought up to date on the way.

    Products whose product.yaml has a mistake are left out; SpecError if no other is asked for.
    """
    sync(workspace)
    found = {product: mistake_in(workspace.root, product) for product in products}
    mistakes = {product: mistake for product, mistake in found.items() if mistake}
    if set(products) == set(workspace.products):
        mistakes |= {repr(name): why for name, why in misnamed(workspace).items()}
    products = [product for product in products if product not in mistakes]
    if mistakes and not products:
        raise SpecError("; ".join(mistakes.values()))
    cells = Cells(workspace)
    chosen = {p: _in_turn(workspace, p, _algorithms(workspace, p, algorithms)) for p in products}
    refresh_code(cells)
    shared = _shared(_used(chosen))
    teachers = [p for stage in shared for p in _taught_by(workspace, stage.algorithm)]
    wanted = [Stage("validate", product) for product in dict.fromkeys([*products, *teachers])]
    for part in _parts(workspace, chosen):
        wanted += [stage for stage in _shared(_used(part)) if stage not in wanted]
        for step in ("fit", "evaluate"):
            wanted += [Stage(step, p, a) for p, names in part.items() for a in names]
    stale = set(cells.stale(wanted))
    reached: list[Stage] = []
    plan = Plan(workspace, cells, products, reached, mistakes)
    for stage in wanted:  # what a stage needs stands before it
        if stage in stale or any(need in reached for need in plan.needs(stage)):
            reached.append(stage)
    return plan


def _shared(algorithms: list[str]) -> list[Stage]:
    """Stages that learn for all products, of those algorithms that have one."""
    return [Stage("pretrain", algorithm=name) for name in algorithms if per_product(name)]


def _taught_by(workspace: Workspace, algorithm: str) -> list[str]:
    return trained_on(workspace.root, algorithm, workspace.products)


def refresh_code(cells: Cells) -> None:
    """Run the stages of code and recipes here where they are stale: they take milliseconds."""
    code = Stage("code")
    workspace = cells.workspace
    # while a product.yaml has a mistake, `dvc repro` is to meet it
    whole = not any(mistake_in(workspace.root, product) for product in workspace.products)
    stages = [code] + [Stage("recipes")] * (whole and bool(workspace.products))
    ran = [(stage, cells.inputs(stage)) for stage in cells.stale(stages)]
    if code in dict(ran):  # recipes, which `sync` has written, need but a record
        names = [Path(out.fs_path).stem for out in cells.dvc(code).outs]
        write_fingerprints(workspace, names)
        with cells.held():
            forget_old_code(workspace)
    cells.commit(ran)


def _algorithms(workspace: Workspace, product: str, asked: list[str] | None) -> list[str]:
    have = read_product(workspace.root, product).algorithms
    return [name for name in have if asked is None or name in asked]


def _used(chosen: dict[str, list[str]]) -> list[str]:
    return sorted({a for names in chosen.values() for a in names})


def _parts(workspace: Workspace, chosen: dict[str, list[str]]) -> list[dict[str, list[str]]]:
    """The algorithms of each product that do not wait for others, then all others."""
    early = {
        product: [name for name in names if name in soon(choice_of(workspace.product(product)))]
        for product, names in chosen.items()
        if is_automatic(workspace.root, product)
    }
    late = {p: [a for a in names if a not in early.get(p, [])] for p, names in chosen.items()}
    return [early, late]


def _in_turn(workspace: Workspace, product: str, names: list[str]) -> list[str]:
    """The order in which a product's algorithms are fitted: cheap ones first, where it is known."""
    if not is_automatic(workspace.root, product):
        return names
    return cheapest_first(choice_of(workspace.product(product)), names)
