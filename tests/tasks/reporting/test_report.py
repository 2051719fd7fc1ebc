"""The report: self-contained, escaped, honest about what is missing, whole or absent."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.documents.metrics import Metrics
from tasks.report import write_report
from tasks.reporting import columns
from tasks.reporting.columns import Column, best_figures, label_counts, missing_reason
from tasks.reporting.gather import gather
from tasks.reporting.page import Live, render
from tasks.reporting.page_data import page_data
from tasks.reporting.plots import histogram
from tasks.reporting.small_pictures import page_picture
from tasks.reporting.view import ModelView, Row, View
from tests.tasks.workspaces import (
    NASTY,
    ROWS,
    cell,
    table,
    validated,
    workspace,
    write_decision,
)


class Page(HTMLParser):
    """Tags with their attributes, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def shown(root: Path, live: Live | None = None) -> tuple[str, Page]:
    html = render(gather(workspace(root)), live)
    return html, Page(html)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return workspace(tmp_path / "ws").root


def test_page_loads_nothing_and_runs_nothing_but_its_own(root: Path) -> None:
    cell(workspace(root))
    html, page = shown(root)
    assert "http://" not in html and "https://" not in html
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert all((each.get("href") or "").startswith("#") for each in page.all("a"))
    assert not [attrs for _, attrs in page.tags if any(k.startswith("on") for k in attrs)]
    assert not [attrs for _, attrs in page.tags if "style" in attrs]
    assert "url(" not in html and "@import" not in html


def test_policy_admits_the_scripts_and_the_style_of_the_page(root: Path) -> None:
    cell(workspace(root))
    html, page = shown(root, Live("/pictures", style=".own {}", script="own();"))
    policy = next(each["content"] or "" for each in page.all("meta") if each.get("http-equiv"))
    texts = {tag: re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S) for tag in ("style", "script")}
    assert [len(found) for found in texts.values()] == [1, 2]
    for text in texts["style"] + texts["script"]:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert ".own {}" in texts["style"][0] and "own();" in texts["script"][1]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert "connect-src" not in shown(root)[0]


def test_names_and_texts_are_escaped(root: Path) -> None:
    made, bad = workspace(root), "<script>alert(1)</script>"
    cell(made, threshold_policy=bad)
    write_decision(made, accepted=False, reasons=[bad], store=bad)
    html = render(gather(made, {f"validate tile{bad}": f'12 "files" & {bad}'}))
    assert bad not in html and "onerror=alert(1)>" not in html
    assert f'12 "files" & {bad}' in Page(html).text  # shown as it is written


def test_null_is_a_dash_that_says_why(root: Path) -> None:
    made = workspace(root)
    cell(made, pixel_auroc=None, aupro_30=None, aupro_05=None, fit_seconds=None)
    cell(made, "gear", image_auroc=None, miss=None, test_good=0, test_defective=0)
    _, page = shown(root)
    titles = [each["title"] for each in page.all("abbr")]
    assert titles.count("no masks") == 3
    assert titles.count("no test images") >= 2 and "not measured" in titles
    assert "None" not in page.text and "nan" not in page.text


@pytest.mark.parametrize(
    ("good", "defective", "words"),
    [(0, 0, "no test images"), (5, 0, "no defective test images"), (0, 5, "no good test images")],
)
def test_missing_says_which_images_there_are_none_of(good: int, defective: int, words: str) -> None:
    column = Column("image_auroc", "Image AUROC", ".3f", 1, "no test images")
    assert missing_reason(column, Metrics(test_good=good, test_defective=defective)) == words


def test_an_evaluation_in_ruins_still_gives_a_page(root: Path) -> None:
    folder = cell(workspace(root))
    (folder / "scores.csv").unlink()
    (folder / "details.json").write_text("[1")
    (folder / "exhibits.zip").write_bytes(b"PK no zip")
    (folder / "roc.csv").write_bytes(b"\xff\xfe")
    _, page = shown(root)
    assert "scores.csv cannot be read (No such file or directory)" in page.text
    assert "details.json cannot be read" in page.text and "roc.csv cannot be read" in page.text


def test_damaged_figures_and_decisions_are_notes(root: Path) -> None:
    made = workspace(root)
    folder = cell(made)
    (folder / "metrics.json").write_text('{"image_auroc": "high"}')
    write_decision(made, reasons="none")
    _, page = shown(root)
    assert "metrics.json cannot be read (metrics.json is damaged: image_auroc: " in page.text
    assert "tile.json is damaged: decision.reasons: " in page.text
    assert "the gate has decided nothing yet" in page.text and "None" not in page.text


def test_a_workspace_without_anything_has_a_page(root: Path) -> None:
    _, page = shown(root)
    assert "No product yet" in page.text and "No cell is evaluated yet." in page.text


def test_a_store_that_is_away_is_a_note(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.workspace.errors import StoreError

    def away(*_: Any) -> None:
        raise StoreError("no route to host")

    monkeypatch.setattr("tasks.store.opening.store_of", away)
    cell(workspace(root))
    _, page = shown(root)
    assert "the store cannot be asked: no route to host" in page.text


def test_damaged_rows_are_left_out_and_said(root: Path) -> None:
    folder = cell(workspace(root))
    rows = [*ROWS, ("test/crack/2.png", "crack", "nan", "good"), ("", "good", 1, "perhaps")]
    table(folder / "scores.csv", "path,label,score,decision", rows)
    _, page = shown(root)
    assert "scores.csv, line 6: label, score or decision unusable; left out" in page.text
    assert "scores.csv, line 7" in page.text


def test_a_missed_critical_defect_stands_out(root: Path) -> None:
    cell(workspace(root))
    assert "<td class=fail>critical</td>" in shown(root)[0]


def test_recalls_count_every_image() -> None:
    rows = [Row("", "good", 0.0, "good"), Row("", "good", 10.0, "defect")]
    rows += [Row("", "crack", value, "defect") for value in (5.0, 5.1, 10.0)]
    rows += [Row("", "crack", 0.1, "good"), Row("", "crack", 2.0, "review")]
    model = ModelView("a", "p", "p", rows=rows, severities={"crack": {"severity": "critical"}})
    good, crack = label_counts(model)
    assert (good["label"], good["images"], good["flagged"], good["median"]) == ("good", 2, 1, 5.0)
    assert (crack["images"], crack["flagged"], crack["median"]) == (5, 3, 5.0)
    assert (crack["review"], crack["passed"]) == (1, 1)
    assert (good["severity"], crack["severity"]) == ("", "critical")
    drawn = histogram(rows, 2.5, 1.0)
    assert drawn is not None and (drawn["low"], drawn["high"], drawn["at"]) == (0, 10, 0.25)
    assert drawn["accept_at"] == 0.1
    assert drawn["rows"]["good"][0] == drawn["rows"]["good"][-1] == 1
    assert sorted(drawn["rows"]["crack"])[-2:] == [0.5, 1]
    assert histogram([], 1.0, None) is None
    assert histogram(rows[:1], None, None) is not None  # no width, no crash


def test_best_is_the_highest_or_the_lowest_of_a_product(root: Path) -> None:
    made = workspace(root)
    blank = dict.fromkeys(column.key for column in columns.COLUMNS)
    cell(made, "a", "padim", **blank | {"image_auroc": 0.9, "miss": 0.2, "overkill": 0.1})
    cell(made, "a", "patchcore", **blank | {"image_auroc": 0.8, "miss": 0.1, "overkill": 0.1})
    cell(made, "b", "padim", **blank | {"image_auroc": 0.99})
    view: View = gather(made)
    assert best_figures(view) == {("a", "padim", "image_auroc"), ("a", "patchcore", "miss")}


def test_floors_show_value_limit_and_direction(root: Path) -> None:
    floors = [
        {"name": "miss", "limit": 0.1, "value": 0.05, "passed": True},
        {"name": "image_auroc", "limit": 0.9, "value": 0.8, "passed": False},
        {"name": "own_cost", "limit": 3.0, "value": 5.0, "passed": False},
        {"name": "aupro_30", "limit": 0.8, "value": None, "passed": False},
    ]
    made = workspace(root)
    cell(made)
    write_decision(made, accepted=False, floors=floors)
    _, page = shown(root)
    assert "✓ Miss 5.0% at most 10.0% passed" in page.text
    assert "✗ Image AUROC 0.800 at least 0.900 not passed" in page.text
    assert "✗ own cost 5.000 at most 3.000 not passed" in page.text
    assert "✗ AUPRO 0.3 not measured at least 0.800 not passed" in page.text


def test_untrained_weights_are_said(root: Path) -> None:
    made = workspace(root)
    cell(made, "gear")
    assert "random weights" not in shown(root)[1].text
    cell(made, backbone_weights="random")
    assert "The backbone of tile has random weights." in shown(root)[1].text


def test_how_a_model_was_made_stands_beside_its_figures(root: Path) -> None:
    made = workspace(root)
    cell(made, "gear", preset="quick", steps=300, backbone="resnet18")
    assert shown(root)[1].text.count("quick, 300 steps, resnet18") == 2  # leaderboard, its page


def test_curves_are_drawn_to_scale(root: Path) -> None:
    cell(workspace(root))
    _, page = shown(root)
    roc, pro = (each["points"] for each in page.all("polyline"))
    assert roc == "0,200 0,100 200,0"
    assert pro == "0,200 100,100 200,0"
    dot = next(each for each in page.all("circle") if each["class"] == "dot")
    assert (dot["cx"], dot["cy"]) == ("100.0", "100.0")  # overkill 0.5, miss 0.5


def test_cell_without_a_threshold_has_no_slider(root: Path) -> None:
    rows = [(path, label, score, "") for path, label, score, _ in ROWS]
    cell(workspace(root), rows=rows, threshold=None, accept=None, miss=None, overkill=None)
    html, page = shown(root)
    assert "no threshold: too few good images" in html and "form class=slider" not in html
    assert "None" not in page.text
    assert not [each for each in page.all("form") if each.get("class") == "slider"]


def test_report_is_whole_or_absent(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = workspace(root)
    path = write_report(made, {"fit tile padim": "crashed"})
    assert path.parent.parent == root / "report" and "crashed" in path.read_text()

    def fail(self: Path, target: Path) -> Path:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    before = sorted(root.glob("report/*/*"))
    with pytest.raises(OSError, match="input/output"):
        write_report(made)
    assert sorted(root.glob("report/*/*")) == before


def test_a_name_that_is_no_text_does_not_lose_the_page(root: Path) -> None:
    made = workspace(root)
    cell(made)
    write_decision(made, reasons=["file \udcff"])
    assert "file ?" in write_report(made).read_text("utf-8")


def test_an_image_with_a_nasty_name_is_in_the_data(root: Path) -> None:
    cell(workspace(root))
    assert NASTY not in shown(root)[0] and "\\u003cimg src=x" in shown(root)[0]


def test_strips_are_the_most_wrong_decisions(root: Path) -> None:
    import io

    from PIL import Image

    from tasks.reporting.worst_pictures import worst_decisions

    folder = cell(workspace(root))
    (folder / "threshold.json").write_text('{"threshold": 2.0}')
    decisions = worst_decisions(folder)
    assert [(decision.path, decision.outcome) for decision in decisions] == [
        (NASTY, "missed"),
        ("test/good/1.png", "false alarm"),
    ]
    with Image.open(io.BytesIO(decisions[0].picture)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (2 * 64 + 4, 48))
    assert len(worst_decisions(folder, count=1)) == 1


def test_a_picture_is_served_by_its_name(root: Path) -> None:
    made = workspace(root)
    cell(made)
    [product] = gather(made).products
    found = page_picture(made, product, "padim", "heat", 3)
    assert found is not None and found[8:12] == b"WEBP"
    for model, kind, index in (("padim", "heat", 4), ("padim", "../heat", 0), ("stfpm", "heat", 0)):
        assert page_picture(made, product, model, kind, index) is None
    assert page_picture(made, product, "images", "image", 0) is None  # nothing was validated


def test_where_room_is_short_the_worst_keep_their_pictures(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell(workspace(root))
    [product] = gather(workspace(root)).products
    whole = page_data(product, 1, live=False)
    assert whole.left_out == 0 and whole.pictures.count("padim/image/") == 4
    size = len(whole.pictures) * 2 // 3
    monkeypatch.setattr("tasks.reporting.page_data.BYTES", size)
    some = page_data(product, 1, live=False)
    assert 0 < some.left_out < 4 and len(some.pictures) <= size
    worst = next(image for image in some.data["images"] if image["path"] == NASTY)
    assert worst["from"] == "padim"
    assert "padim/image/" not in page_data(product, 1, live=True).pictures


def test_the_data_page_draws_what_masks_mark(root: Path) -> None:
    made = workspace(root)
    cell(made)
    validated(made)
    images, rows = made.images("tile"), []
    for n, side in enumerate((4, 20, 28)):
        mask = np.zeros((30, 40), np.uint8)
        mask[1 : 1 + side, 2 : 2 + side] = 255
        for path, pixels in ((f"test/crack/{n}.png", mask // 2), (f"m/{n}.png", mask)):
            (images / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(images / path)
        share = round(side * side / 1200, 8)
        rows.append(
            (f"test/crack/{n}.png", "test", "crack", 40, 30, 0.5, 1, f"m/{n}.png", share, "")
        )
    header = "path,split,label,width,height,brightness,sharpness,mask,mask_share,error"
    table(made.validation("tile") / "manifest.csv", header, rows)
    (images / "m/0.png").write_text("damaged since")
    html, page = shown(root)
    assert "What masks mark, the largest first" in page.text
    assert "65.3 % of the image" in page.text and "33.3 % of the image" in page.text
    drawn = [each for each in page.all("svg") if each.get("viewbox") == "0 0 40 30"]
    paths = [
        each["d"] for each in page.all("path") if each.get("class") == "line mask" and "d" in each
    ]
    assert len(drawn) == len(paths) == 2
    assert paths[0] is not None and paths[0].count("M") == 1 and "L30 1" in paths[0]
    assert html.count("images/image/") == 2


def test_the_data_page_tells_sizes_drift_twins_and_mended_labels(root: Path) -> None:
    made = workspace(root)
    cell(made)
    validated(made)
    html, page = shown(root)
    assert "and 21 other sizes, 40 to 63 pixels wide, 30 to 30 high" in page.text
    assert "Brightness, good test images against training images: they differ by 1.00" in page.text
    twins = [each.get("data-path") for each in page.all("img") if each.get("class") == "original"]
    assert twins == ["test/good/001.png", "train/good/000.png"]
    assert html.count("images/image/") == 2  # pictures of both
    assert "the rim is scratched" in page.text and "blurred <b>" in page.text
    assert "None" not in page.text
