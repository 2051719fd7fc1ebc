"""Pictures of a real stream: they come, and come again where the stream ends or falls silent."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from tasks.arrival import camera as source
from tasks.arrival.camera import frames
from tests.rtsp_server import camera


def grey(picture: bytes) -> float:
    """The brightness of a PNG."""
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.size == (64, 48)
        return float(np.asarray(opened).mean())


def next_of(pictures, level: int) -> None:
    """Go on to a picture of this brightness: some may still be on their way."""
    assert any(abs(grey(one) - level) < 3 for one, _ in zip(pictures, range(200), strict=False))


def test_a_stream_that_ends_or_falls_silent_is_told_and_opened_again(monkeypatch):
    pytest.importorskip("cv2")
    monkeypatch.setattr(source, "PATIENCE", 300)
    monkeypatch.setattr(source, "SHORTEST", 0.01)
    said, over, answers = [], threading.Event(), []

    def say(text: str) -> None:
        said.append(text)
        for answer in answers:
            answer()

    with camera() as made:
        pictures = frames(made.address.replace("//", "//anna:geheim@"), 0.0, over, say)
        next_of(pictures, 100)
        made.grey = 200
        next_of(pictures, 200)
        assert (made.clients, said) == (1, [])
        made.grey = 50
        made.hang_up()
        next_of(pictures, 50)
        assert made.clients == 2 and "gives no picture; again in" in said[-1]
        told, made.grey = len(said), 150
        made.silent.set()
        answers.append(made.silent.clear)  # it speaks again once it was said to be silent
        next_of(pictures, 150)
        assert made.clients >= 3 and len(said) > told
        assert not any("geheim" in text for text in said)
        over.set()
        assert list(pictures) == []
