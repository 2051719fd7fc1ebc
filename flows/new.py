"""Create one product or many: ingest images, write a spec, and check everything before training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ad_models.weight_files import DRAWNET, ENVIRONMENT
from flows.ingest import bring_in, require_some
from flows.running.plan import refresh_code
from flows.running.progress import telling
from tasks.arrival.labels import Labels, read_labels
from tasks.build.choose_algorithms import in_the_box
from tasks.build.graph import sync
from tasks.build.records import Cells, Stage, push, version
from tasks.products.image_summary import summarise_images
from tasks.products.proposal import proposed_spec, spec_conflicts, spec_from_product
from tasks.spec.automatic import choice_of, summary
from tasks.spec.read import (
    check,
    is_automatic,
    read_as_written,
    read_params,
    read_product,
    spec_in_use,
)
from tasks.spec.schema import Product
from tasks.workspace.errors import DataError, LineError, SpecError
from tasks.workspace.files import write_text
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace
from tasks.workspace.yaml_text import parse_yaml, read_text

ALIKE = 0.95  # smallest similarity for which `--like auto` uses another product's spec
Agree = Callable[[str, float], bool]  # whether to start from this product with this similarity


@dataclass
class NewProduct:
    """The result for one new product."""

    product: str
    summary: str = ""  # of the images
    like: str | None = None
    similarity: float | None = None
    remarks: list[str] = field(default_factory=list)
    failed: bool = False  # the validation: a run would stop at it


def begin_product(
    workspace: Workspace,
    product: str,
    source: str,
    like: str | None = None,
    agree: Agree | None = None,
    overrides: dict[str, Any] | None = None,
    labels: Labels | None = None,
) -> NewProduct:
    """Create a product from the images at `source`, with its spec; not yet under DVC.

    labels: what a person said of folders that may be labels.
    like: the product whose spec it starts from, or `auto`: the most similar one. Without it,
    `agree` is called with the most similar one, if given.
    """
    check_product_name(product)
    if like not in (None, "auto"):
        workspace.require(str(like))
        read_as_written(workspace.root, str(like))  # before an image is copied
    spec = workspace.product(product) / "product.yaml"
    with telling("bringing the images in"):
        report = bring_in(workspace, product, source, labels)
    require_some(report, source)
    begun = NewProduct(product, summary=report.summary())
    with telling("looking at the images"):
        seen = summarise_images(workspace.images(product))
    begun.like = like
    if like == "auto" or (like is None and agree):
        begun.like, begun.similarity = choose_similar(
            workspace, product, like, agree, begun.remarks
        )
    if begun.like:
        read_product(workspace.root, begun.like)  # which sets aside what has a mistake
        text = spec_in_use(workspace.root, begun.like).read_text(encoding="utf-8")
        text = spec_from_product(text, product, begun.like, begun.similarity)
    else:
        params = read_params(workspace.root)
        text = proposed_spec(product, seen, params.defaults.image.size, params.presets)
    text = text if not overrides else apply_overrides(text, overrides)
    check(Product, yaml.safe_load(text) or {}, spec)
    write_text(spec, text)  # last: until then the same command starts again
    begun.remarks += spec_conflicts(spec, seen)
    return begun


def choose_similar(
    workspace: Workspace, product: str, like: str | None, agree: Agree | None, remarks: list[str]
) -> tuple[str | None, float | None]:
    """The product to start from and its similarity, or None."""
    if not workspace.products:
        return None, None
    from ad_models.errors import WeightsError

    try:
        with telling("looking for a product that is like it"):
            from tasks.products.product_similarity import similar_products

            found = similar_products(workspace, product)
    except WeightsError as error:
        remarks.append(f"no product was looked for that is like it: {error}")
        return None, None
    if not found:
        return None, None
    best = found[0]
    if agree(*best) if like is None and agree else best.similarity >= ALIKE:
        return best
    remarks.append(f"most like {best.product}, similarity {best.similarity:.3f}")
    return None, None


def apply_overrides(text: str, overrides: dict[str, Any]) -> str:
    """The spec with the keys of a table row on top; comments are kept only if nothing changes."""
    spec = yaml.safe_load(text) or {}
    for key, value in overrides.items():
        place = spec
        *above, last = key.split(".")
        for part in above:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise SpecError(f"{key}: {part} holds a value and no keys")
        place[last] = value
    head = "".join(line for line in text.splitlines(keepends=True)[:1] if line.startswith("#"))
    return head + yaml.safe_dump(spec, sort_keys=False)


def new_product(
    workspace: Workspace,
    product: str,
    source: str,
    like: str | None,
    agree: Agree,
    labels: Labels | None = None,
) -> NewProduct:
    """Create one product, version and validate it. After an interruption, wherever it was, the same
    command continues; a spec that was written stays."""
    check_product_name(product)
    unfinished = workspace.scratch / "new" / f"{product}.begun"
    if product in workspace.products and not unfinished.exists():
        raise LineError(f"{product} is there already; `inspectline ingest` brings in more images")
    if product in workspace.products:
        with telling("bringing the images in"):
            report = bring_in(workspace, product, source, labels)
        begun = NewProduct(product, summary=report.summary())
    else:
        write_text(unfinished, f"{source}\n")
        try:
            begun = begin_product(workspace, product, source, like, agree, labels=labels)
        except Exception:  # it said what is wrong: nothing is unfinished
            unfinished.unlink(missing_ok=True)
            raise
    version_and_sync(workspace, [product])
    begun.remarks += chosen_algorithms(workspace, product)
    begun.failed, problems = find_problems(workspace, product)
    begun.remarks += problems
    unfinished.unlink(missing_ok=True)
    return begun


def chosen_algorithms(workspace: Workspace, product: str) -> list[str]:
    """What `algorithms: auto` means for a product, what it leaves out and why, and the backbone."""
    said = backbones_said(workspace, product)
    if not is_automatic(workspace.root, product):
        return said
    return summary(choice_of(workspace.product(product))) + said


def backbones_said(workspace: Workspace, product: str) -> list[str]:
    """Where the backbone in the box takes the place of one whose weights are out of reach."""
    names = read_product(workspace.root, product).algorithms
    return [
        f"ImageNet weights of {backbone} are not on this machine, nor to be downloaded: "
        f"{', '.join(of)} use{'s' if len(of) == 1 else ''} {DRAWNET}, the backbone in the box; for "
        f"ImageNet's put its file into a folder and set {ENVIRONMENT} to it before `run`"
        for backbone, of in in_the_box(workspace, product, names).items()
    ]


def new_products(
    workspace: Workspace, rows: list[dict[str, Any]], tell: Callable[[str], None]
) -> tuple[list[NewProduct], dict[str, str]]:
    """Create the products of a table or add images to them; the results, and the reasons of failed
    rows."""
    done: list[NewProduct] = []
    failed: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        name = f"row {number} {row.get('name') or ''}".strip()
        try:
            done.append(product_from_row(workspace, row))
        except (LineError, OSError) as error:
            failed[name] = str(error)
        tell(f"{name}, of {len(rows)}: {failed.get(name) or done[-1].summary}")
    if done:
        version_and_sync(workspace, [one.product for one in done])
    return done, failed


def product_from_row(workspace: Workspace, row: dict[str, Any]) -> NewProduct:
    """Create the product of one row: `name`, `folder`, optional `like`, `labels` and
    `annotations`; other keys
    override its spec."""
    rest = dict(row)
    name, folder = (str(rest.pop(key, None) or "") for key in ("name", "folder"))
    like = rest.pop("like", None)
    file = str(rest.pop("annotations", None) or "")
    labels = read_labels(
        str(rest.pop("labels", None) or "").split(";"), Path(file) if file else None
    )
    if not name or not folder:
        raise DataError("a row needs a name and a folder")
    if name in workspace.products:  # the same table again: there may be more images now
        return NewProduct(name, bring_in(workspace, name, folder, labels).summary())
    return begin_product(workspace, name, folder, like, overrides=rest, labels=labels)


def version_and_sync(workspace: Workspace, products: list[str]) -> None:
    """Version the images of products with DVC, and write the graph for their specs."""
    with telling("versioning the images"):
        version(workspace, *(workspace.images(product) for product in products))
    with telling("choosing algorithms by images, and by how fast this machine is"):
        sync(workspace, products)
    with telling("sending to the DVC remote"):
        push(workspace, [str(workspace.product(product) / "images.dvc") for product in products])


def find_problems(workspace: Workspace, product: str) -> tuple[bool, list[str]]:
    """Whether the validation of a product fails by its spec; its failures, and gaps in the data.

    It is the stage of the graph: where it passes it is recorded, and a run does not do it again.
    """
    from tasks.products.gaps import data_gaps

    with telling("checking the images"):
        from tasks.validate import validated

        cells, stage = Cells(workspace), Stage("validate", product)
        refresh_code(cells)
        before = cells.inputs(stage)
        result = validated(workspace, product)
        if result.passed:
            cells.commit([(stage, before)])
        else:
            cells.ignore(stage)
    if result.passed:
        with telling("sending to the DVC remote"):
            push(workspace, [f"{workspace.root / stage.file}:{stage.name}"])
    found = [f"{one['file'] or product}: {one['reason']}" for one in result.failures[:10]]
    if len(result.failures) > len(found):
        found.append(f"and {len(result.failures) - len(found)} more; all: {result.docs}")
    return not result.passed, found + data_gaps(result.counts)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV or YAML table; empty cells are left out, values are read as YAML."""
    import csv
    import io

    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.suffix.lower() in (".yaml", ".yml"):
        rows = parse_yaml(read_text(path), path)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{path} must be a list of rows, each with a name and a folder")
        return [flatten_keys(row) for row in rows]
    try:
        found = list(
            csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
        )
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: {error}") from error
    if not found or not {"name", "folder"} <= set(found[0]):
        raise DataError(f"{path} needs a head line with `name` and `folder`, and rows below it")
    texts = ("name", "folder", "like", "labels", "annotations")
    return [
        {
            k: v if k in texts else parse_yaml(v, f"{path}, row {number}, {k}")
            for k, v in row.items()
            if k and v
        }
        for number, row in enumerate(found, 1)
    ]


def flatten_keys(row: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and value and f"{above}{key}" != "algorithms":
            flat |= flatten_keys(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = value
    return flat
