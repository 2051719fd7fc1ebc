"""`inspectline run`: the flow, with its output for a person at a terminal."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import click

from flows.prefect_server.notify import notify
from flows.prefect_server.start import begin_server, require_server, start_server
from flows.running.progress import telling
from flows.tables import results_table
from tasks.build.records import Stage
from tasks.clones.claim import claim_products
from tasks.clones.snapshot import remote_url
from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision
from tasks.gate import undecided
from tasks.leaderboard import champion_algorithms, champions, read_results
from tasks.mirror.follow import follow
from tasks.promotion.decision import last_decision, missing_gates
from tasks.promotion.evaluated_cell import read_cell
from tasks.report import write_report
from tasks.reporting.decision_lines import outcome, threshold_lines
from tasks.spec.algorithms import known_algorithms
from tasks.spec.automatic import choice_of, explain, summary
from tasks.spec.read import is_automatic, read_params, read_product
from tasks.spec.schema import Occasion
from tasks.store.opening import seen_from
from tasks.workspace.errors import LineError, StoreError, hint
from tasks.workspace.git import operator, uncommitted
from tasks.workspace.lock import RUN, run_lock
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import sweep_scratch


def run_line(
    workspace: Workspace, products: list[str], algorithms: list[str] | None, verbose: bool = False
) -> bool:
    """Bring cells up to date, decide, report; whether nothing failed."""
    products = chosen(workspace, products, algorithms)
    with run_lock(workspace, what=RUN), _alone(workspace, products):
        sweep_scratch(workspace)
        with telling("comparing the workspace with what was made before"):
            from flows.running.plan import make_plan
            from flows.running.process import prepare, worth_importing

            plan = make_plan(workspace, products, algorithms)
        products = plan.products
        failures = plan.mistakes | untrainable(workspace, products)
        page = ""
        before = {product: last_decision(workspace, product) for product in products}
        if not plan.stages:
            click.echo("every cell is up to date: nothing to train")
        if plan.stages or any(_open(workspace, product) for product in products):
            for said in choices(workspace, products, plan.stages):
                click.echo(said)
            with telling("starting Prefect"):
                elsewhere = read_params(workspace.root).line.workers is not None
                if not elsewhere:
                    begin_server(verbose)
                prepare(worth_importing(plan.stages))  # while it starts, like the imports here
                from flows.line import READ, line
                from flows.prefect_server.abandoned import end_abandoned, of_this_machine

                # where other machines train, the one that stays
                (require_server if elsewhere else start_server)(verbose)
                end_abandoned(workspace.root)
                root, before_flow = workspace.root, READ.set(plan.cells)
                try:
                    with of_this_machine():
                        failed, page = line(str(root), products, plan.stages, operator(), root.name)
                    failures |= failed
                finally:
                    READ.reset(before_flow)
        decided = {p: d for p in products if (d := last_decision(workspace, p))}
        verdicts = conclude(workspace, decided, failures, page or str(write_report(workspace)))
        fresh = {p: decision for p, decision in decided.items() if decision != before[p]}
        notify(workspace, news_of(fresh, verdicts, failures))
        with telling("telling MLflow"):
            said = follow(workspace, products)
        if said:
            click.echo(said, err=True)
    return not failures


def _alone(workspace: Workspace, products: list[str]) -> AbstractContextManager[None]:
    """Where workers elsewhere train, lock them against other clones."""
    workers = read_params(workspace.root).line.workers
    if workers is None:
        return nullcontext()
    remote_url(workspace, workers.git)
    return claim_products(workspace, workers.git, products, lambda text: click.echo(text, err=True))


def _open(workspace: Workspace, product: str) -> bool:
    """Whether a gate has something to decide; its own task tells of a store that is away."""
    try:
        return undecided(workspace, product)
    except StoreError:
        return True


def chosen(workspace: Workspace, products: list[str], algorithms: list[str] | None) -> list[str]:
    """The products asked for, or all; names and specs are checked before anything starts."""
    for product in products:
        workspace.require(product)
    products = products or workspace.products
    if not products:
        raise LineError("no product yet; `inspectline ingest PRODUCT SOURCE` brings one in")
    for name in algorithms or []:
        if name not in known_algorithms():
            raise LineError(f"unknown algorithm '{name}'; {hint(name, known_algorithms())}")
        if not any(name in read_product(workspace.root, p).algorithms for p in products):
            raise LineError(f"no spec of {', '.join(products)} asks for {name}; add it there")
    return products


def choices(workspace: Workspace, products: list[str], stages: Sequence[Stage]) -> list[str]:
    """What `algorithms: auto` means, and leaves out, for those of the products that are to be
    trained."""
    trained = {stage.product for stage in stages if stage.step == "fit"}
    return [
        f"{product}: {line}"
        for product in products
        if product in trained and is_automatic(workspace.root, product)
        for line in summary(choice_of(workspace.product(product)))
    ]


def untrainable(workspace: Workspace, products: list[str]) -> dict[str, str]:
    """Why nothing can be trained for a product, where `algorithms: auto` leaves all of them out."""
    found = {}
    for product in products:
        choice = choice_of(workspace.product(product))
        if is_automatic(workspace.root, product) and not choice["algorithms"]:
            reasons = "; ".join(explain(choice)) or f"{choice['images']} good images are too few"
            found[product] = f"`algorithms: auto` finds none to train: {reasons}"
    return found


def news_of(
    decided: dict[str, Decision], verdicts: dict[str, str], failures: dict[str, str]
) -> list[tuple[Occasion, str]]:
    """What a run tells people who are not there."""
    news: list[tuple[Occasion, str]] = []
    for product, decision in decided.items():
        news.append(("promoted" if decision.accepted else "refused", verdicts[product]))
    return news + [("failed", f"failed: {name}: {why}") for name, why in failures.items()]


def conclude(
    workspace: Workspace, decided: dict[str, Decision], failures: dict[str, str], page: str
) -> dict[str, str]:
    """Print table, champions, failures and report; the verdict on each product."""
    rows = read_results(workspace)
    current = champions(workspace, workspace.products)
    if rows:
        click.echo()
        results_table(rows, champion_algorithms(current))
        click.echo()
    verdicts = {
        p: verdict(p, decision, current.get(p), seen_from(workspace, decision.store))
        for p, decision in decided.items()
    }
    for product, line in verdicts.items():
        click.echo(line)
        for more in _meaning(workspace, product, decided[product]):
            click.echo(f"  {more}")
    for name, reason in failures.items():
        click.echo(f"failed: {name}: {reason}", err=True)
    click.echo(f"report: {page}")
    if changed := uncommitted(workspace):
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        click.echo(f"not committed: {changed[0]}{more}; `git add -A && git commit` keeps them")
    return verdicts


def _meaning(workspace: Workspace, product: str, decision: Decision) -> list[str]:
    """What the decisions of the model that was weighed mean, and what to look at."""
    found = read_cell(workspace, product, decision.challenger.algorithm)
    if found is None:
        return []
    lines = [outcome(found.metrics, found.intervals)]
    lines += threshold_lines(found.thresholds, found.edge) if found.thresholds else []
    spec = read_product(workspace.root, product)
    return lines + missing_gates(spec.gates, found.metrics)


def verdict(product: str, decision: Decision, now: Pointer | None, store: str) -> str:
    """One line on a product's gate, and who is champion now. store: as the reader finds it."""
    challenger = decision.challenger
    if decision.accepted and (now is None or now.release == challenger.release):
        where = f"{store}/releases/{product}/{challenger.release}"
        return f"{product}: {challenger.algorithm} is champion, published in {where}"
    is_now = f"{now.algorithm} {now.release} is champion" if now else "no champion"
    if decision.accepted and now:
        return f"{product}: {is_now}, since a {now.kind} by {now.by} ({now.reason})"
    reasons = "; ".join(decision.reasons)
    return f"{product}: {challenger.algorithm} refused ({reasons}); {is_now}"
