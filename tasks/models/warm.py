"""A champion that stays loaded between the single pictures that a person gives to it."""

import base64
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.images.decode import decode_image
from tasks.images.outlines import outline
from tasks.images.pictures import SIDE, encode_webp, map_colours, rgb_picture, shrink_picture
from tasks.models.inspector import Inspection
from tasks.models.release_model import ReleaseModel, reported_mask
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.store.opening import store_of
from tasks.workspace.errors import LineError, MissingError, StoreError
from tasks.workspace.paths import Workspace
from tasks.workspace.secrets import without_secrets

SHOWN = 2 * SIDE  # pixels, the longer side of the picture that is shown; its heat map has half


@dataclass(frozen=True)
class Loaded:
    """A champion's model, ready."""

    product: str
    release: str
    algorithm: str
    model: ReleaseModel


class WarmChampion:
    """Inspects one picture at a time and keeps the model of the last one: of one product, so that
    memory stays bounded. Thread-safe."""

    def __init__(self, workspace: Workspace, device: str = "cpu") -> None:
        self.workspace = workspace
        self.device = device
        self._busy = threading.Lock()
        self._held: Loaded | None = None

    def inspect(self, product: str, data: bytes, name: str) -> dict[str, Any]:
        """What `predict` tells of the bytes of an image file, by which release and in how many
        milliseconds; and its pictures: `image` and `heat` (WebP in base64), `found`, the outline of
        what was found as an SVG path in a drawing of `size` (width, height). Nothing is kept.

        DataError: the image cannot be read; MissingError: there is no champion.
        """
        with self._busy:
            by = self._champion(product)
            image = decode_image(data, name).unit
            began = time.perf_counter()
            found = by.model.inspector.inspect(image)
            spent = time.perf_counter() - began
            about = {"product": product, "release": by.release, "algorithm": by.algorithm}
            drawn = drawings(by.model, image, found)
            return {**about, **by.model.result(found), "ms": round(1000 * spent, 1), **drawn}

    def found(self, product: str, data: bytes, name: str) -> np.ndarray:
        """Pixels (H, W) of an image file where the champion finds a defect, at the image's size."""
        with self._busy:
            model = self._champion(product).model
            image = decode_image(data, name).unit
            marked = np.zeros(image.shape[:2], bool)
            reported = reported_mask(model.inspector.inspect(image).map, model.decision)
            if reported is not None:
                model.inspector.preprocess.region(marked)[:] = reported  # a view of it
            return marked

    def _champion(self, product: str) -> Loaded:
        """The champion of the present moment."""
        store = store_of(self.workspace)
        pointer = champion(store, product)
        if pointer is None:
            raise MissingError(f"{product} has no champion yet; `inspectline run -p {product}`")
        if self._held and (self._held.product, self._held.release) == (product, pointer.release):
            return self._held
        self._held = None  # before the next one: never two in memory
        folder = fetch(store, product, pointer.release, self.workspace.scratch / "releases")
        model = loaded(folder, product, self.device)
        self._held = Loaded(product, pointer.release, pointer.algorithm, model)
        return self._held


def loaded(folder: Path, product: str, device: str) -> ReleaseModel:
    """The model of a release, ready; StoreError for whatever a runtime raises."""
    try:
        model = ReleaseModel.load(folder, device)
        model.warm_up()
        return model
    except LineError:
        raise
    except Exception as error:
        raise StoreError(
            f"the champion of {product} cannot be loaded ({without_secrets(str(error))}); promote "
            "another release, or roll back"
        ) from error


def drawings(model: ReleaseModel, image: np.ndarray, found: Inspection) -> dict[str, Any]:
    """Pictures of an inspected image (H, W, C) in 0..1, as the pages show them."""
    shown = shrink_picture(rgb_picture(model.inspector.preprocess.view(image)), SHOWN)
    marked = reported_mask(found.map, model.decision)
    heat = encode_webp(map_colours(found.map, model.decision.map_top, SHOWN // 2))
    return {
        "size": shown.size,
        "image": base64.b64encode(encode_webp(shown)).decode(),
        "heat": base64.b64encode(heat).decode(),
        "found": "" if marked is None else outline(marked, shown.size),
    }
