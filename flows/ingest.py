"""Bring images of a product into the workspace and version them."""

from flows.running.progress import telling
from tasks.arrival.intake import IngestReport
from tasks.arrival.labels import Labels
from tasks.arrival.offer import Offer
from tasks.build.graph import sync
from tasks.build.records import push, version
from tasks.ingest import ingest
from tasks.spec.read import read_params
from tasks.workspace.errors import DataError, nearest
from tasks.workspace.files import write_text
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace

ALIKE = 0.8  # of two names, from where on one may be a slip of the other; 1: the same


def ingest_product(
    workspace: Workspace,
    product: str,
    source: str,
    labels: Labels | None = None,
    offer: Offer | None = None,
) -> IngestReport:
    """What was new, known and refused; the images are under DVC, and pushed where a remote is.

    labels: what a person said of folders that may be labels; offer: the files of the source, where
    they are already sorted. Where nothing could be taken, no product is made.
    """
    report = bring_in(workspace, product, source, labels, offer)
    if not workspace.images(product).is_dir():
        return report
    spec = workspace.product(product) / "product.yaml"
    if not spec.exists():
        write_text(spec, f"# The spec of {product}; params.yaml holds the defaults of every key.\n")
    with telling("versioning the images"):
        version(workspace, workspace.images(product))
    with telling("choosing algorithms by images, and by how fast this machine is"):
        sync(workspace, [product])
    push(workspace, [str(workspace.product(product) / "images.dvc")])  # last: it may be away
    return report


def bring_in(
    workspace: Workspace,
    product: str,
    source: str,
    labels: Labels | None = None,
    offer: Offer | None = None,
) -> IngestReport:
    """Copy what is new at `source` into the product's images, and no more."""
    check_product_name(product)
    read_params(workspace.root)  # a mistake there is reported before a thousand images are copied
    images, scratch = workspace.images(product), workspace.scratch / "ingest"
    return ingest(source, images, scratch, labels=labels, offer=offer)


def what_next(workspace: Workspace, product: str, known: list[str]) -> list[str]:
    """What to do after an ingest, and what to know of a product that was not among the `known`."""
    told = []
    if product not in known and (near := nearest(product, known, ALIKE)):
        told.append(
            f"{product} is a new product; did you mean '{near}'? "
            f"Then `inspectline remove {product}`, and ingest into {near}"
        )
    if product not in known and not any(workspace.images(product).glob("test/*/*")):
        told.append(
            f"{product} has no test images, and the gate asks for what they measure; set "
            f"`gates: {{image_auroc: null}}` in data/{product}/product.yaml. "
            "`inspectline new` would have written that"
        )
    return [*told, f"next: `inspectline run -p {product}`"]


def require_some(report: IngestReport, source: str) -> None:
    """DataError with the reasons where nothing of a source could be taken."""
    if not report.images:
        raise DataError(f"{source}: no image was taken\n{report.summary()}")
