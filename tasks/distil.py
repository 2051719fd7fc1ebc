"""Distil a teacher of EfficientAD once for all products. The parameter `teacher` names its file."""

from pathlib import Path

from ad_models import create, seeded
from ad_models.algorithms.efficientad import Efficientad
from tasks.models.fitting import prepare_run
from tasks.models.sharing import fit_identity, mixed_loader
from tasks.spec.read import check
from tasks.spec.recipe import shared_recipe
from tasks.spec.schema import Image
from tasks.workspace.errors import DataError, WorkspaceError
from tasks.workspace.listener import Listener
from tasks.workspace.paths import SHARED, Workspace

NAME = "efficientad"


def distil_teacher(
    workspace: Workspace, products: list[str], listener: Listener, steps: int | None = None
) -> Path:
    """Write `data/.shared/efficientad-<size>.safetensors`, from images of these products or of all.

    steps: of the teacher; None: as in params.yaml. A stopped call continues. Images that set
    thresholds are left out.
    """
    for product in products:
        workspace.require(product)
    made = shared_recipe(workspace.root, NAME, workspace.products)
    chosen = products or list(made["products"])
    if not chosen:
        raise WorkspaceError("there is no product to learn from; `inspectline ingest` makes one")
    made["products"] = {name: made["products"][name] for name in chosen}
    made["parameters"] |= {"teacher": ""} | ({"teacher_steps": steps} if steps else {})
    tables = {name: workspace.validation(name) / "train.csv" for name in chosen}
    for name, table in tables.items():
        if not table.exists():
            raise DataError(f"{name} is not validated yet; `inspectline run -p {name}` does it")
    params = workspace.root / "params.yaml"
    images = {name: check(Image, one["image"], params) for name, one in made["products"].items()}
    detector = create(NAME, **made["parameters"])
    assert isinstance(detector, Efficientad)
    taken, published = detector.config.teacher_steps, detector.Config().teacher_steps
    if taken < published:
        listener.say(f"a teacher of {taken} steps; the paper's has {published}, see --steps")
    identity = fit_identity(NAME, made, tables)
    run, checkpoint = prepare_run(workspace, SHARED, "teacher", identity, listener)
    with seeded(detector.config.seed):
        detector.to(run.device).train()
        detector.teach(mixed_loader(workspace, made, images), run, detector.natural())
    path = workspace.shared(f"{NAME}-{detector.config.size}.safetensors")
    detector.teacher.write(path)
    checkpoint.unlink(missing_ok=True)
    return path
