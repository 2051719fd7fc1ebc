"""Where nobody watches bars, a run is never silent for long."""

import time

from flows.running.progress import Terminal, telling


def test_what_runs_without_news_is_told_again(capsys):
    with Terminal(1, every=0.1) as terminal:
        terminal.start("fit cap vae")
        time.sleep(0.3)
        terminal.update("fit cap vae", "fold 1/4", 0.25, {})
        time.sleep(0.3)
        terminal.end("fit cap vae", "done")
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  fit cap vae: 0 s"
    assert "  fit cap vae: 25% fold 1/4, 0 s" in lines
    assert lines[-1].startswith("done fit cap vae")


def test_what_starts_a_terminal_is_told_until_it_shows_the_rest(capsys):
    with telling("starting Prefect", first=0.05, every=0.05):
        time.sleep(0.2)
        assert "starting Prefect: 0 s" in capsys.readouterr().err
        with Terminal(1, every=60):
            capsys.readouterr()
            time.sleep(0.2)
        with telling("writing the report", first=0.05, every=0.05):
            time.sleep(0.2)
    said = capsys.readouterr().err
    assert "starting Prefect" not in said and "writing the report" in said


def test_only_what_takes_long_is_told(capsys):
    with telling("starting", first=0.1, every=0.1):
        time.sleep(0.35)
    assert 2 <= capsys.readouterr().err.count("starting: 0 s") <= 3
    with telling("starting"):
        pass
    assert capsys.readouterr().err == ""
