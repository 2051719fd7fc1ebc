"""A model on its way to ONNX."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from tasks.models import export


def test_gates_side_by_side_export_one_after_the_other(tmp_path, monkeypatch):
    """Two traces at once in one process disturb each other."""
    busy, met = threading.Semaphore(1), []

    def trace(path, seen):
        met.append(not busy.acquire(blocking=False))
        time.sleep(0.05)
        busy.release()

    detector = SimpleNamespace(no_export="", export=trace)
    monkeypatch.setattr(export, "load", lambda path: detector)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: export.export_onnx(tmp_path, (64, 64)), range(4)))
    assert met == [False] * 4
