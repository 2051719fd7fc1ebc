"""What a step says once reaches the person who runs the line."""

from multiprocessing import Pipe, current_process

from flows.running.process import _listen
from flows.running.progress import Terminal


def test_texts_arrive_between_progress_and_outcome():
    ours, theirs = Pipe()
    said, reported = [], []
    for message in (
        ("progress", (("learn 1/1", 0.5), {"loss": 1.0})),
        ("text", "about 3 min, 1.2 GB of the 3.0 GB allowed"),
        ("done", ""),
    ):
        theirs.send(message)
    outcome = _listen(
        ours, current_process(), lambda *at, **metrics: reported.append((at, metrics)), said.append
    )
    assert outcome == ("done", "")
    assert said == ["about 3 min, 1.2 GB of the 3.0 GB allowed"]
    assert reported == [(("learn 1/1", 0.5), {"loss": 1.0})]


def test_the_terminal_shows_them_whole(capsys):
    with Terminal(1) as terminal:
        terminal.say("  fit cap patchcore: about 3 min")
    assert "fit cap patchcore: about 3 min" in capsys.readouterr().err
