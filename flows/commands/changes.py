"""Commands that change files of a product. Each needs a reason, which is recorded."""

from pathlib import Path
from typing import Any, get_args

import click

from flows.commands import SOME, WHOLE, current_workspace
from tasks.spec.policy_names import PolicyName
from tasks.workspace.errors import LineError

policy_names = click.Choice(get_args(PolicyName))


@click.command()
@click.argument("product")
@click.option("--policy", type=policy_names, help="Rule that sets it.")
@click.option("--value", type=float, help="Raw score above which a part is rejected.")
@click.option("--overkill", type=float, help="Share of good parts that may be rejected.")
@click.option("--miss", type=float, help="Of max_miss.")
@click.option("--confidence", type=float, help="Of max_overkill.")
@click.option("--reason", help="Why; it is recorded.")
@click.pass_context
def threshold(ctx: click.Context, product: str, reason: str | None, **asked: Any) -> None:
    """Show the threshold of PRODUCT, what it promises and costs, and what others would; or set it.

    The spec is changed and keeps its comments. The store records who, when, why, and the old and
    new values. The change applies from the next run on.
    """
    from flows.threshold_table import show_threshold
    from tasks.products.set_threshold import set_threshold
    from tasks.workspace.git import operator

    workspace = current_workspace(ctx)
    workspace.require(product)
    change = {key: value for key, value in asked.items() if value is not None}
    if not change:
        show_threshold(workspace, product)
        return
    if not reason:
        raise LineError("give a reason with --reason; it is recorded")
    record = set_threshold(workspace, product, change, by=operator(), reason=reason)
    click.echo(record["what"])
    if record["note"]:
        click.echo(f"warning: {record['note']}", err=True)
    click.echo(f"wrote {record['file']}, recorded in {record['record']}")
    click.echo(f"next: `inspectline run -p {product}`")


@click.command()
@click.argument("product")
@click.argument("image")
@click.argument("label")
@click.option("--reason", required=True, help="Why; it is written into corrections.yaml.")
@click.option(
    "--new",
    is_flag=True,
    help="LABEL is a new defect type, although its name is similar to another.",
)
@click.pass_context
def correct(
    ctx: click.Context, product: str, image: str, label: str, reason: str, new: bool
) -> None:
    """Set the label of IMAGE of PRODUCT to LABEL: a defect type, good, or drop.

    IMAGE is a path such as test/good/012.png. The file is not moved; corrections.yaml records who
    corrected it and why. The correction applies from the next run on.
    """
    from tasks.products.correct import correct_label
    from tasks.workspace.git import operator

    record = correct_label(
        current_workspace(ctx), product, image, label, by=operator(), reason=reason, new=new
    )
    click.echo(f"{record['what']}, in {record['file']}")
    click.echo(f"next: `inspectline run -p {product}`")


@click.command()
@click.argument("product")
@click.argument("image")
@click.option("--reason", required=True, help="Why; it is written into corrections.yaml.")
@click.pass_context
def keep(ctx: click.Context, product: str, image: str, reason: str) -> None:
    """Say that the label of IMAGE of PRODUCT is right, so that it is not doubted again.

    IMAGE is a path such as test/crack/012.png. No model changes by this.
    """
    from tasks.products.correct import keep_label
    from tasks.workspace.git import operator

    record = keep_label(current_workspace(ctx), product, image, by=operator(), reason=reason)
    click.echo(f"{image} stays {record['new']}, in {record['file']}")


@click.command()
@click.argument("product")
@click.argument("image")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.pass_context
def withdraw(ctx: click.Context, product: str, image: str, reason: str) -> None:
    """Take back what `correct` or `keep` said of IMAGE of PRODUCT: its folder decides again."""
    from tasks.products.correct import withdraw_label
    from tasks.workspace.git import operator

    record = withdraw_label(current_workspace(ctx), product, image, by=operator(), reason=reason)
    click.echo(f"{image} is {record['new']} as its folder says, in {record['file']}")
    click.echo(f"next: `inspectline run -p {product}`")


@click.command()
@click.argument("product")
@click.argument("image")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.pass_context
def mask(ctx: click.Context, product: str, image: str, file: Path, reason: str) -> None:
    """Set the mask of the defect image IMAGE of PRODUCT to FILE, in place of the present one.

    IMAGE is a path such as test/crack/012.png. FILE is a picture of the same size, bright where the
    defect is and black elsewhere. The change applies from the next run on.
    """
    from tasks.images.read_image import read_bytes
    from tasks.products.draw_mask import set_mask
    from tasks.workspace.git import operator

    data = read_bytes(file)
    record = set_mask(current_workspace(ctx), product, image, data, by=operator(), reason=reason)
    click.echo(f"{record['what']}, in {record['file']}")
    click.echo(f"next: `inspectline run -p {product}`")


@click.command()
@click.argument("product")
@click.argument("algorithm")
@click.option("--trials", type=WHOLE, default=20, show_default=True, help="Sets of values.")
@click.option("--minutes", type=SOME, help="After which no further trial is begun.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of values and defects.")
@click.option("--write", is_flag=True, help="Set the best values in the spec, with a record.")
@click.pass_context
def tune(
    ctx: click.Context,
    product: str,
    algorithm: str,
    trials: int,
    minutes: float | None,
    seed: int,
    write: bool,
) -> None:
    """Look for better parameters of ALGORITHM on PRODUCT, on good images and painted defects.

    No test image is opened. Stopped, the same command goes on; with more --trials it goes further.
    """
    from flows.running.progress import telling

    with telling("starting", first=1.0):
        from ad_models.errors import Cancelled
        from tasks.models.tuning import tune as search
        from tasks.workspace.listener import Listener

    workspace = current_workspace(ctx)
    listener = Listener(f"tune {product} {algorithm}")
    try:
        found = search(workspace, product, algorithm, listener, trials, minutes, seed)
    except Cancelled:
        raise KeyboardInterrupt from None  # of Ctrl-C: the console says that it goes on
    refused = f", {found.refused} of them not possible" if found.refused else ""
    click.echo(
        f"{found.trials} trials{refused}: {found.before:.4f} as it is now, {found.figure:.4f} at "
        "best (the mean AUROC of images and of pixels, on painted defects)"
    )
    if not found.best:
        click.echo("the values as they are now were not beaten; nothing to set")
        return
    if not write:
        click.echo(f"to set in data/{product}/product.yaml, by hand or with --write:")
        click.echo(yaml_lines(algorithm, found.best))
        return
    from tasks.products.set_parameters import set_parameters
    from tasks.workspace.git import operator

    reason = f"tune: {found.before:.4f} to {found.figure:.4f} in {found.trials} trials, seed {seed}"
    record = set_parameters(workspace, product, algorithm, found.best, by=operator(), reason=reason)
    click.echo(f"{record['what']}, in {record['file']}, recorded in {record['record']}")
    if "note" in record:
        click.echo(record["note"])
    click.echo(f"next: `inspectline run -p {product}`, whose test says whether it is better")


def yaml_lines(algorithm: str, values: dict[str, Any]) -> str:
    """The piece of a spec that sets these parameters."""
    lines = [f"    {name}: {str(value).lower()}" for name, value in values.items()]
    return "\n".join(["algorithms:", f"  {algorithm}:", *lines])
