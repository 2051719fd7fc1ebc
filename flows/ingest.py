"""Bring images of a product into the workspace and version them."""

from tasks.arrival.intake import IngestReport
from tasks.build.graph import sync
from tasks.build.records import push, version
from tasks.ingest import ingest
from tasks.spec.read import read_params
from tasks.workspace.files import write_text
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace


def ingest_product(workspace: Workspace, product: str, source: str) -> IngestReport:
    """What was new, known and refused; the images are under DVC, and pushed where a remote is."""
    report = bring_in(workspace, product, source)
    spec = workspace.product(product) / "product.yaml"
    if not spec.exists():
        write_text(spec, f"# The spec of {product}; params.yaml holds the defaults of every key.\n")
    version(workspace, workspace.images(product))
    sync(workspace)
    push(workspace, [str(workspace.product(product) / "images.dvc")])  # last: it may be away
    return report


def bring_in(workspace: Workspace, product: str, source: str) -> IngestReport:
    """Copy what is new at `source` into the product's images, and no more."""
    check_product_name(product)
    read_params(workspace.root)  # a mistake there is reported before a thousand images are copied
    return ingest(source, workspace.images(product), workspace.scratch / "ingest")
