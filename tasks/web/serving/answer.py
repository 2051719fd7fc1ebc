"""What the service answers, as its OpenAPI document tells it."""

from typing import Any

from pydantic import BaseModel, Field

from tasks.documents.base import Text
from tasks.documents.result import Verdict


class Inspected(Verdict):
    """The verdict on an image."""

    heat_map: Text | None = Field(
        default=None, description="PNG in base64, with ?heat_map=true: where it looks defective."
    )


class Problem(BaseModel):
    """Why there is no verdict."""

    error: str = Field(description="What is wrong, and what helps.")


INSPECTION: dict[str, Any] = {  # of the request, for `openapi_extra`
    "requestBody": {
        "description": "the image alone, no form",
        "required": True,
        "content": {
            f"image/{kind}": {"schema": {"type": "string", "format": "binary"}}
            for kind in ("png", "jpeg", "bmp", "tiff")
        },
    }
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Inspected},
    "4XX": {"model": Problem, "description": "the request is refused"},
    "5XX": {"model": Problem, "description": "too much at once, or a failure: ask again"},
}
