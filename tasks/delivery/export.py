"""Write a release in a form that others run: OpenVINO's IR, a repository of Triton and KServe.

What is written has to decide the golden images as the evaluation did, as a gate asks of what the
line itself ships.
"""

import shutil
from pathlib import Path
from typing import Literal

from tasks.documents.manifest import MANIFEST
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.models.openvino import OpenVinoVerdict, write_ir
from tasks.models.triton import write_repository
from tasks.models.verdict import VerdictModel
from tasks.promotion.trial import Verdicts, verdict_differences
from tasks.spec.read import read_product
from tasks.store.opening import locate, release_of
from tasks.workspace.errors import DataError, StoreError
from tasks.workspace.extras import require
from tasks.workspace.files import folder_beside, read_rows
from tasks.workspace.paths import INSPECT, ONNX, Workspace

Form = Literal["openvino", "triton"]
IR = Path(INSPECT).with_suffix(".xml")
SHOWN = 3  # images that an error names


def export(
    workspace: Workspace, product: str, form: Form, to: Path, release: str | None = None
) -> Path:
    """The folder below `to` that was written, whole or not at all.

    release: another one than the champion. DataError where what was written decides otherwise than
    the evaluation; then nothing stays.
    """
    workspace.require(product)
    source = locate(workspace.root, product, release)
    manifest = release_of(source)
    if manifest is None or not (source / INSPECT).is_file():
        raise StoreError(
            f"{source} has no {INSPECT}: its algorithm has no ONNX form, or release.onnx or "
            "release.pixels is off; export another release, or set them and run"
        )
    if form == "triton":
        check(VerdictModel(source / INSPECT), workspace, product, source, "Triton's model.onnx")
        return write_repository(source / INSPECT, to / product, manifest.release)
    require("openvino")
    if (to / product).exists() and not (to / product / IR).is_file():
        raise DataError(f"{to / product} is there and is no export; give another folder with --to")
    with folder_beside(to / product) as partial:
        for name in (INSPECT, ONNX):
            write_ir(source / name, partial / Path(name).stem)
        for name in (MANIFEST, THRESHOLD):
            shutil.copyfile(source / name, partial / name)
        model = OpenVinoVerdict(partial / IR)
        check(model, workspace, product, source, "OpenVINO's IR")
    return to / product


def check(model: Verdicts, workspace: Workspace, product: str, source: Path, what: str) -> None:
    """DataError unless a model decides the golden images of a release as its evaluation did."""
    limits = Thresholds.read(source / THRESHOLD).limits
    tolerance = read_product(workspace.root, product).gates.parity
    images, rows = workspace.images(product), read_rows(source / "scores.csv")
    if not rows:
        raise DataError(f"the release of {product} was tested on no image; nothing says it agrees")
    if off := verdict_differences(model, images, rows, limits, tolerance):
        more = f" and {len(off) - SHOWN} more" if len(off) > SHOWN else ""
        raise DataError(
            f"{what} of {product} departs from the evaluation: {'; '.join(off[:SHOWN])}{more}; "
            "gates.parity bounds the scores. Nothing was written; run the release by ONNX Runtime"
        )
