"""Pictures of a camera, of an RTSP stream or of a video file, by OpenCV."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.workspace.errors import DataError
from tasks.workspace.extras import require
from tasks.workspace.secrets import without_password

PATIENCE = 10_000  # milliseconds for a stream to open, and for a picture
SHORTEST, LONGEST = 1.0, 30.0  # seconds before a stream that ended is opened again


def frames(
    address: str, every: float, over: threading.Event, say: Callable[[str], None]
) -> Iterator[bytes]:
    """Pictures as PNG, none sooner than `every` seconds after the one before.

    A video file ends; a camera that is silent is opened again and again until `over` is set.
    address: a number of a camera of this machine, an address such as rtsp://..., or a file.
    """
    cv2 = require("cv2")
    ends = Path(address).is_file()
    pause = SHORTEST
    while not over.is_set():
        capture = opened(cv2, address)
        if capture.isOpened():
            for image in taken(cv2, capture, every, ends, over):
                pause = SHORTEST
                yield image
        elif ends:
            raise DataError(f"{address}: OpenCV cannot read this video; give another format")
        capture.release()
        if ends:
            return
        say(f"{without_password(address)} gives no picture; again in {pause:g} s")
        over.wait(pause)
        pause = min(2 * pause, LONGEST)


def opened(cv2: Any, address: str) -> Any:
    """OpenCV's reader; it may be closed still."""
    if address.isdecimal():
        return cv2.VideoCapture(int(address))
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE, cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE]
    return cv2.VideoCapture(address, cv2.CAP_ANY, limits)


def taken(
    cv2: Any, capture: Any, every: float, ends: bool, over: threading.Event
) -> Iterator[bytes]:
    """The pictures that are due, the others are passed over. ends: time is that of the video."""
    due = 0.0
    while not over.is_set() and capture.grab():
        now = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3 if ends else time.monotonic()
        if now < due:
            continue
        due = now + every
        whole, image = capture.retrieve()
        if whole:
            yield cv2.imencode(".png", image)[1].tobytes()
