"""Keep an MLflow server in line with the store: a run for each evaluated cell, a version of a
registered model for each release, the alias `champion`.

What is to be told is written down first, one file each, and the file goes once the server has it.
So a server that is away delays nothing, and the next run makes up for it.

    .inspectline/mlflow/<server>/told/<hash>      cells that it has: the id of the run
                                 versions/<id>    releases that it has: the version
                                 open/<hash>.json cells that it is to be told of
"""

import hashlib
import json
import math
import os
import shutil
from typing import Any

from tasks.documents.manifest import Manifest
from tasks.documents.metrics import METRICS, Metrics
from tasks.mirror.server import URI, MlflowServer, connected
from tasks.spec.read import read_params, read_product
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.store.release import folder_of, read_manifest
from tasks.store.releases import releases
from tasks.workspace.errors import AwayError, LineError
from tasks.workspace.files import sha256_of, write_json, write_text
from tasks.workspace.names import safe_name
from tasks.workspace.paths import CARD, Workspace

CELL, RELEASE = "inspectline.cell", "inspectline.release"  # tags by which what is there is found
ALIAS = "champion"


def follow(workspace: Workspace, products: list[str]) -> str:
    """Tell the server what it does not know of these products; a remark where it could not be told.

    Nothing is done where neither `line.mlflow` nor MLFLOW_TRACKING_URI names a server.
    """
    uri = address(workspace)
    if not uri:
        return ""
    mirror = Mirror(workspace, uri)
    for product in products:
        mirror.note(product)
    try:
        with connected(uri) as server:
            mirror.tell(server, products)
    except AwayError as error:
        return f"{error}; the next run makes up for it"
    except (LineError, LookupError, TypeError) as error:  # it lost what it had, or is none
        mirror.forget()
        return f"MLflow was not told everything ({error}); the next run asks it what it has"
    return ""


def address(workspace: Workspace) -> str:
    """The server's address; empty: none. Of the environment only one of the web counts, since
    others use it for files of their own."""
    found = read_params(workspace.root).line.mlflow or os.environ.get(URI, "")
    return found if found.startswith(("http://", "https://")) else ""


class Mirror:
    """What one server was told of a workspace."""

    def __init__(self, workspace: Workspace, uri: str) -> None:
        self.workspace = workspace
        self.name = safe_name(workspace.root.name)
        server = hashlib.sha256(uri.encode()).hexdigest()[:12]
        self.folder = workspace.scratch / "mlflow" / server
        self.told, self.versions = self.folder / "told", self.folder / "versions"

    def forget(self) -> None:
        """Drop the memory of what was told; the server is asked for it by tags."""
        for folder in (self.told, self.versions):
            shutil.rmtree(folder, ignore_errors=True)

    def note(self, product: str) -> None:
        """Write down the cells of a product that the server was not told of."""
        for algorithm in read_product(self.workspace.root, product).algorithms:
            path = self.workspace.evaluation(product, algorithm) / METRICS
            if not path.is_file():
                continue
            digest = sha256_of(path)
            if not (self.told / digest).is_file():
                card = self.workspace.model(product, algorithm) / CARD
                made = json.loads(card.read_text()) if card.is_file() else {}
                content = {"metrics": Metrics.read(path).dump(), "card": made}
                write_json(self.folder / "open" / f"{digest}.json", content)

    def tell(self, server: MlflowServer, products: list[str]) -> None:
        """Tell the server all that was written down, and the releases of these products."""
        experiment = server.experiment(f"inspectline {self.name}")
        for path in sorted((self.folder / "open").glob("*.json")):
            self._run(server, experiment, path.stem, json.loads(path.read_text()))
            path.unlink()
        store = store_of(self.workspace)
        for product in products:
            for one in releases(store, product):
                if not (self.versions / one.id).is_file():
                    manifest = read_manifest(store, product, one.id)
                    self._version(server, experiment, store, manifest)
            current = champion(store, product)
            if current and (known := self.versions / current.release).is_file():
                server.alias(f"{self.name}.{product}", ALIAS, known.read_text())

    def _run(
        self, server: MlflowServer, experiment: str, digest: str, content: dict[str, Any]
    ) -> str:
        """The id of the run of an evaluation; it is logged where the server has none."""
        if (known := self.told / digest).is_file():
            return known.read_text()
        run = server.find_run(experiment, CELL, digest)
        if run is None:
            metrics, card = content["metrics"], content["card"]
            product, algorithm = metrics.get("product", ""), metrics.get("algorithm", "")
            tags = {CELL: digest, "product": product, "algorithm": algorithm}
            given = figures(metrics), parameters(metrics, card), tags
            run = server.log_run(experiment, f"{product} {algorithm}", *given)
        write_text(known, run)
        return run

    def _version(
        self, server: MlflowServer, experiment: str, store: Store, manifest: Manifest
    ) -> None:
        """Register a release, and remember its version."""
        model = f"{self.name}.{manifest.product}"
        version = server.version(model, RELEASE, manifest.release)
        if version is None:
            metrics = manifest.about.metrics
            body = {"metrics": metrics.dump() if metrics else {}, "card": {}}
            cell = manifest.files[METRICS].sha256 if METRICS in manifest.files else manifest.release
            body["metrics"] |= {"product": manifest.product, "algorithm": manifest.algorithm}
            run = self._run(server, experiment, cell, body)
            place = f"{store.address}/{folder_of(manifest.product, manifest.release)}"
            source = place if "://" in place else f"runs:/{run}/{manifest.release}"
            tags = {RELEASE: manifest.release, "algorithm": manifest.algorithm, "address": place}
            version = server.register(model, source, run, tags)
        write_text(self.versions / manifest.release, version)


def figures(metrics: dict[str, Any]) -> dict[str, float]:
    """The numbers among the figures of a cell; those that were not measured are left out."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if name != "version"
    }


def parameters(metrics: dict[str, Any], card: dict[str, Any]) -> dict[str, str]:
    """How a model was made, as texts: preset, backbone, parameters of the algorithm, image."""
    texts = {k: v for k, v in metrics.items() if isinstance(v, str)}
    found = texts | {f"image.{k}": v for k, v in (card.get("image") or {}).items()}
    found |= card.get("parameters") or {}
    return {name: str(value) for name, value in found.items() if value is not None}
