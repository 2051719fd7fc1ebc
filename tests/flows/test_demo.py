"""The demo can be stopped and begun again."""

from functools import partial

from flows import demo
from tasks.arrival.samples.draw import draw_samples


def test_the_demo_begins_again_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    few = partial(draw_samples, size=64, train=2, good=1, per_defect=1)
    monkeypatch.setattr(demo, "draw_samples", few)
    monkeypatch.setattr(demo, "run_line", lambda *_: True)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for new in (True, False):
        assert demo.run_demo(tmp_path / "demo")
        assert ("cap: 0 new images" in capsys.readouterr().out) is not new
