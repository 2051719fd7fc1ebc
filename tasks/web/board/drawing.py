"""What a page needs to draw the mask of an image: the image, its mask, what the champion finds."""

import io
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from tasks.images.decode import Picture, decode_image
from tasks.images.pictures import rgb_picture, shrink_picture
from tasks.images.read_image import read_bytes, read_mask
from tasks.models.warm import WarmChampion
from tasks.products.draw_mask import as_png, mask_places, mask_version, require_defect
from tasks.reporting.small_pictures import visible
from tasks.web.board.access import Access
from tasks.web.board.answers import cached_response, check_product
from tasks.web.refused import Refused
from tasks.workspace.paths import Workspace

SIDE = 4096  # pixels, the longer side of what is shown; the mask has the image's own size


def drawing_routes(workspace: Workspace, access: Access, warm: WarmChampion) -> APIRouter:
    def file_of(product: str, image: str) -> Path:
        check_product(workspace, product)
        require_defect(workspace, product, image)  # so it is one of the product's images
        return workspace.images(product) / image

    router = APIRouter(prefix="/drawing/{product}", dependencies=[Depends(access.reader)])

    @router.get("")
    def about(product: str, image: str) -> dict[str, Any]:
        """Size of the image, and version of its mask: empty without one."""
        file = file_of(product, image)
        height, width = decode_image(read_bytes(file), image).pixels.shape[:2]
        images = workspace.images(product)
        there = mask_places(images, PurePosixPath(image))[0]
        return {"width": width, "height": height, "mask": mask_version(images, there)}

    @router.get("/image")
    def shown(request: Request, product: str, image: str) -> Response:
        data = read_bytes(file_of(product, image))
        return cached_response(request, displayed(decode_image(data, image)), "image/jpeg")

    @router.get("/mask")
    def mask(request: Request, product: str, image: str) -> Response:
        file_of(product, image)
        images = workspace.images(product)
        there = mask_places(images, PurePosixPath(image))[0]
        if there is None:
            raise Refused(404, f"{image} has no mask yet")
        return cached_response(request, as_png(read_mask(images / there)), "image/png")

    @router.get("/found")
    def found(request: Request, product: str, image: str) -> Response:
        data = read_bytes(file_of(product, image))
        return cached_response(request, as_png(warm.found(product, data, image)), "image/png")

    return router


def displayed(picture: Picture) -> bytes:
    """A picture as JPEG."""
    memory = io.BytesIO()
    shrink_picture(rgb_picture(visible(picture)), SIDE).save(memory, "JPEG", quality=92)
    return memory.getvalue()
