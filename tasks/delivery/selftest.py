"""Whether pulled releases say on this machine what they said when they were made."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from tasks.documents.golden import GOLDEN, Golden, GoldenImage
from tasks.images.decode import Picture, decode_image
from tasks.models.release_model import ReleaseModel
from tasks.models.verdict import VerdictModel
from tasks.store.champion import champion
from tasks.store.folder import FolderStore
from tasks.store.golden import member, open_golden
from tasks.store.release import folder_of
from tasks.store.seal import Seal
from tasks.workspace.errors import StoreError
from tasks.workspace.names import usable
from tasks.workspace.paths import INSPECT

Judge = Callable[[Picture], tuple[float, str]]  # raw score and decision of an image
NONE = Seal()  # nothing is verified


@dataclass(frozen=True)
class Tried:
    """The champion of a product, and where it departs from what its release says, in words."""

    product: str
    release: str
    images: int  # that were inspected
    off: list[str]  # an image may be judged otherwise by more than one file


def selftest(folder: Path, device: str, seal: Seal = NONE) -> Iterator[Tried]:
    """Each champion of the folder, after it inspected its golden images. seal: whose signatures
    are trusted; StoreError where none of them signed a champion."""
    store = FolderStore(folder)
    paths = [PurePosixPath(key) for key in store.keys("champions/")]
    names = [one.stem for one in paths if one.suffix == ".json" and usable(one.stem)]
    if not names:  # other files may lie there, of those that Finder writes
        raise StoreError(f"{folder} holds no champion; `inspectline pull PRODUCT --to {folder}`")
    for product in names:
        current = champion(store, product)
        if current is not None:
            key = folder_of(product, current.release)
            seal.check(store.folder / key, product, current.release, key)
            yield tried(store, product, current.release, device)


def tried(store: FolderStore, product: str, release: str, device: str) -> Tried:
    """One release, on its golden images."""
    archive = open_golden(store, product, release)
    if archive is None:
        return Tried(product, release, 0, [])
    with archive:
        told = Golden.parse(member(archive, GOLDEN), f"{GOLDEN} of {release}")
        off = []
        for name, judge in judges(store.folder / folder_of(product, release), device):
            found = (departs(judge, archive, one, told) for one in told.images)
            off += [f"{name}: {text}" for text in found if text]
    return Tried(product, release, len(told.images), off)


def judges(folder: Path, device: str) -> Iterator[tuple[str, Judge]]:
    """All in a release that gives a score and a decision, by name: what `predict` and `serve` run,
    and the file from pixels to verdict, which other programs run."""
    model = ReleaseModel.load(folder, device)

    def judge(picture: Picture) -> tuple[float, str]:
        found = model.inspector.inspect(picture.unit)
        return found.score, model.result(found)["decision"]

    yield "the release", judge
    if (folder / INSPECT).is_file():
        verdict = VerdictModel(folder / INSPECT).verdict
        yield INSPECT, lambda picture: verdict(picture.pixels)


def departs(judge: Judge, archive: ZipFile, one: GoldenImage, told: Golden) -> str:
    """How an image is judged otherwise than the release says; empty where it is not."""
    score, decision = judge(decode_image(member(archive, one.file), one.path))
    if decision != one.decision:
        return f"{one.path} is '{decision}' with {score:.6g}, released '{one.decision}'"
    if abs(score - one.score) > told.tolerance:
        return f"{one.path} scores {score:.6g}, released {one.score:.6g}"
    return ""
