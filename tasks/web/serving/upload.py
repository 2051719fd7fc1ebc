"""Read the upload of a client within limits, or refuse it with the reason."""

import asyncio
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from starlette.requests import ClientDisconnect

from tasks.images.decode import (
    DECODERS,
    DECODING_ERRORS,
    READABLE,
    Picture,
    decode_image,
    file_format,
)
from tasks.web.refused import Refused
from tasks.workspace.errors import DataError


@dataclass(frozen=True)
class Settings:
    upload_mb: float = 20.0  # of one request's body
    megapixels: float = 50.0  # of one image; a small file can hold a huge one
    at_work: float = 64.0  # megapixels of all images at work; more wait
    waiting: int = 64  # requests in progress; more are refused with 503
    waiting_mb: float = 256.0  # of their bodies; more are refused with 503
    batch: int = 8  # images scored together
    heat_side: int = 1024  # pixels, the longer side of a heat map at most
    log: Path | None = None  # folder of the prediction log
    patience: float = 30.0  # seconds for a client to send its image


NAME = "image"  # what an upload is called in messages


async def read_body(
    request: Request, settings: Settings, count: Callable[[int], None] = lambda more: None
) -> bytes:
    """The body; a body that is too large is refused before it is read to its end.

    count: is told how many bytes came, and may refuse them.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise Refused(415, "send the image alone as the body (curl --data-binary @FILE), no form")
    most = int(settings.upload_mb * 1e6)
    text = f"the upload exceeds {settings.upload_mb:g} MB; send a smaller image"
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise Refused(413, text)
    data = bytearray()
    try:
        async with asyncio.timeout(settings.patience):
            async for chunk in request.stream():
                count(len(chunk))
                data += chunk
                if len(data) > most:
                    raise Refused(413, text)
    except TimeoutError:
        raise Refused(
            408, f"no whole image within {settings.patience:g} s; send it again"
        ) from None
    except ClientDisconnect:
        raise Refused(400, "the client went away") from None
    return bytes(data)


def pixels_of_upload(data: bytes, settings: Settings) -> int:
    """How many pixels an upload says that it has, before any is read: 415 for an unsupported
    format, 422 for too many."""
    if not data:
        raise Refused(422, f"the body is empty; send a {READABLE} image as the body")
    try:
        form = file_format(data, NAME)
    except DataError as error:
        raise Refused(415, str(error)) from None
    with suppress(*DECODING_ERRORS):  # decode_upload reports the error
        width, height = DECODERS[form](io.BytesIO(data)).size
        if width * height > settings.megapixels * 1e6:
            text = f"above the limit of {settings.megapixels:g} megapixels; scale the image down"
            raise Refused(422, f"{NAME}: {width} x {height} pixels, {text}")
        return width * height
    return 0


def decode_upload(data: bytes) -> Picture:
    """The image in an upload: 422 for a damaged one."""
    try:
        return decode_image(data, NAME)
    except DataError as error:
        raise Refused(422, str(error)) from None
