"""The report: self-contained, escaped, honest about what is missing, whole or absent."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks import report
from tasks.imaging.pictures import save_jpeg
from tasks.report import (
    CellResult,
    Column,
    Score,
    best_figures,
    histogram,
    missing,
    recalls,
    worst,
    write_report,
)
from tasks.threshold import decide

NASTY = "test/crack/<img src=x onerror=alert(1)>&\"'.png"
METRICS: dict[str, Any] = {
    "image_auroc": 0.75,
    "pixel_auroc": 0.9,
    "aupro_30": 0.8,
    "aupro_05": 0.5,
    "threshold": 2.0,
    "miss": 0.5,
    "overkill": 0.5,
    "test_good": 2,
    "test_defective": 2,
    "backbone_weights": "imagenet",
}
ROWS = [
    ("test/good/0.png", "good", 1.0, "good", "pictures/0.jpg"),
    ("test/good/1.png", "good", 2.5, "defect", "pictures/gone.jpg"),
    (NASTY, "crack", 0.5, "good", ""),
    ("test/crack/1.png", "crack", 9.0, "defect", "../../secret.jpg"),
]


class Page(HTMLParser):
    """Tags with their attributes, and the text outside style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def table(path: Path, header: str, rows: list[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def cell(
    folder: Path, product: str = "tile", algorithm: str = "padim", **metrics: Any
) -> CellResult:
    folder = folder / product / algorithm
    save_jpeg(Image.new("RGB", (48, 16), "teal"), folder / "pictures" / "0.jpg")
    table(folder / "scores.csv", "path,label,score,decision,picture", list(ROWS))
    table(folder / "roc.csv", "fpr,tpr,threshold", [(0, 0, "inf"), (0, 0.5, 9), (1, 1, 0.5)])
    table(folder / "pro.csv", "fpr,pro", [(0, 0), (0.15, 0.5), (0.3, 1)])
    details = {"severity": {"types": {"crack": {"severity": "critical"}}}}
    (folder / "details.json").write_text(json.dumps(details))
    return CellResult(product, algorithm, METRICS | metrics, folder)


def decision(accepted: bool, **more: Any) -> dict[str, Any]:
    return {
        "accepted": accepted,
        "challenger": {"algorithm": "padim", "release": "new-release"},
        "champion": {"algorithm": "stfpm", "release": "old-release"},
        "floors": [{"name": "miss", "limit": 0.1, "value": 0.5, "passed": False}],
        "reasons": ["miss 50 % is above 10 %"],
        "store": "s3://bucket/line",
    } | more


def render(folder: Path, *cells: CellResult, **more: Any) -> tuple[str, Page]:
    arguments = {"decisions": {}, "title": "Run"} | more
    path = write_report(list(cells), path=folder / "report.html", **arguments)
    html = path.read_text("utf-8")
    return html, Page(html)


def test_page_loads_nothing_and_runs_nothing_but_its_own(tmp_path: Path) -> None:
    html, page = render(tmp_path, cell(tmp_path), decisions={"tile": decision(True)})
    assert "http://" not in html and "https://" not in html
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert all((each.get("src") or "").startswith("data:image/") for each in page.all("img"))
    assert all((each["href"] or "").startswith("#") for each in page.all("a"))
    assert not [
        attrs for _, attrs in page.tags if any(k.startswith("on") or k == "style" for k in attrs)
    ]
    assert "url(" not in html and "@import" not in html


def test_policy_admits_the_script_and_the_style_of_the_page(tmp_path: Path) -> None:
    import hashlib

    html, page = render(tmp_path, cell(tmp_path))
    policy = next(each["content"] or "" for each in page.all("meta") if each.get("http-equiv"))
    for tag in ("style", "script"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.S)
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert len(text) == 1 and f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_names_and_texts_are_escaped(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    html, page = render(
        tmp_path,
        cell(tmp_path, threshold_policy=bad),
        title=bad,
        decisions={"tile": decision(False, reasons=[bad], store=bad)},
        skipped={f"gear{bad}": f'12 "files" & {bad}'},
    )
    assert bad not in html and "onerror=alert(1)>" not in html
    assert len(page.all("script")) == 1
    assert NASTY in page.text and f'12 "files" & {bad}' in page.text  # shown as it is written


def test_null_is_a_dash_that_says_why(tmp_path: Path) -> None:
    none = cell(tmp_path, pixel_auroc=None, aupro_30=None, aupro_05=None, fit_seconds=None)
    empty = cell(tmp_path, "gear", image_auroc=None, miss=None, test_good=0, test_defective=0)
    _, page = render(tmp_path, none, empty)
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
    assert missing(column, {"test_good": good, "test_defective": defective}) == words


def test_empty_metrics_and_records_still_give_a_page(tmp_path: Path) -> None:
    bare = CellResult("tile", "padim", {}, tmp_path / "nowhere")
    _, page = render(tmp_path, bare, decisions={"tile": {}, "gear": {"floors": [{"name": "x"}]}})
    assert "scores.csv cannot be read (No such file or directory)" in page.text
    _, page = render(tmp_path)
    assert "No cell was evaluated in this run." in page.text


def test_pictures_that_are_missing_or_elsewhere_become_notes(tmp_path: Path) -> None:
    save_jpeg(Image.new("RGB", (9, 9)), tmp_path / "secret.jpg")  # where ../../secret.jpg leads
    one = cell(tmp_path)
    _, page = render(tmp_path, one)
    inlined = [each["src"] or "" for each in page.all("img")]
    content = (one.folder / "pictures" / "0.jpg").read_bytes()
    assert inlined == [f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"]
    assert "pictures/gone.jpg cannot be read" in page.text
    assert "no picture was kept" in page.text
    assert "../../secret.jpg is no picture of this evaluation" in page.text


def test_page_stays_small_however_many_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PICTURE_BYTES", 100)
    _, page = render(tmp_path, cell(tmp_path))
    assert not page.all("img") and "the page would grow too large" in page.text


def test_worst_are_the_lowest_defects_and_the_highest_good_ones() -> None:
    numbers = [3.0, 1.0, 7.0, 5.0, 2.0, 8.0]
    scores = [
        Score(f"{label}{n}", label, n, "good", "") for label in ("good", "crack") for n in numbers
    ]
    assert [row.path for row in worst(scores, True, 3)] == ["crack1.0", "crack2.0", "crack3.0"]
    assert [row.path for row in worst(scores, False, 2)] == ["good8.0", "good7.0"]
    assert worst([], True) == []


def test_gallery_calls_misses_and_false_alarms_by_name(tmp_path: Path) -> None:
    html, _ = render(tmp_path, cell(tmp_path))
    missed, alarms = html.split("Good parts that scored highest")[0:2]
    verdicts = re.compile(r'class="(?:fail|pass)">(missed|found|false alarm|passed)<')
    assert verdicts.findall(missed) == ["missed", "found"]
    assert verdicts.findall(alarms) == ["false alarm", "passed"]
    assert "1 of 2 missed" in missed and "1 of 2 false alarms" in alarms


def test_an_automatic_choice_is_explained(tmp_path: Path) -> None:
    _, page = render(tmp_path, cell(tmp_path), chosen={"tile": ["padim: 12 <good> images"]})
    assert "padim: 12 <good> images" in page.text
    assert "chosen by" not in render(tmp_path, cell(tmp_path))[1].text


def test_a_missed_critical_defect_stands_out(tmp_path: Path) -> None:
    html, page = render(tmp_path, cell(tmp_path))
    assert "<td class=fail>critical</td>" in html
    assert "review" not in page.text.lower().split("by label")[1].split("scores")[0]


def test_what_was_sent_to_review_is_no_miss(tmp_path: Path) -> None:
    one = cell(tmp_path)
    rows = [ROWS[0], ROWS[1], (NASTY, "crack", 0.5, "review", ""), ROWS[3]]
    table(one.folder / "scores.csv", "path,label,score,decision,picture", rows)
    html, _ = render(tmp_path, one)
    assert "0 of 2 missed" in html and "unusable" not in html
    assert ">review</span>" in html


def test_recalls_and_histogram_count_every_image() -> None:
    scores = [Score("", "good", 0.0, "good", ""), Score("", "good", 10.0, "defect", "")]
    scores += [Score("", "crack", value, "defect", "") for value in (5.0, 5.1, 10.0)]
    scores += [Score("", "crack", 0.1, "good", ""), Score("", "crack", 2.0, "review", "")]
    good, crack = recalls(scores, {"crack": {"severity": "critical"}})
    assert (good["label"], good["images"], good["flagged"], good["median"]) == ("good", 2, 1, 5.0)
    assert (crack["images"], crack["flagged"], crack["median"]) == (5, 3, 5.0)
    assert (crack["review"], crack["passed"]) == (1, 1)
    assert (good["severity"], crack["severity"]) == ("", "critical")
    drawn = histogram(scores, 2.5)
    assert drawn is not None and (drawn["low"], drawn["high"], drawn["at"]) == (0, 10, 0.25)
    assert drawn["rows"]["good"][0] == drawn["rows"]["good"][-1] == 1
    assert sorted(drawn["rows"]["crack"])[-2:] == [0.5, 1]
    assert histogram([], 1.0) is None
    assert histogram([Score("", "good", 2.0, "good", "")], None) is not None  # no width, no crash


def test_best_is_the_highest_or_the_lowest_of_a_product() -> None:
    def rival(product: str, algorithm: str, **metrics: Any) -> CellResult:
        return CellResult(product, algorithm, metrics, Path())

    cells = [
        rival("a", "padim", image_auroc=0.9, miss=0.2, aupro_30=None, overkill=0.1),
        rival("a", "stfpm", image_auroc=0.8, miss=0.1, aupro_30=None, overkill=0.1),
        rival("b", "padim", image_auroc=0.99),
    ]
    assert best_figures(cells) == {("a", "padim", "image_auroc"), ("a", "stfpm", "miss")}


def test_floors_show_value_limit_and_direction(tmp_path: Path) -> None:
    floors = [
        {"name": "miss", "limit": 0.1, "value": 0.05, "passed": True},
        {"name": "image_auroc", "limit": 0.9, "value": 0.8, "passed": False},
        {"name": "own_cost", "limit": 3.0, "value": 5.0, "passed": False},
        {"name": "aupro_30", "limit": 0.8, "value": None, "passed": False},
    ]
    _, page = render(tmp_path, cell(tmp_path), decisions={"tile": decision(False, floors=floors)})
    text = " ".join(page.text.split())
    assert "✓ Miss 5.0% at most 10.0% passed" in text
    assert "✗ Image AUROC 0.800 at least 0.900 not passed" in text
    assert "✗ own cost 5.000 at most 3.000 not passed" in text
    assert "✗ AUPRO 0.3 not measured at least 0.800 not passed" in text


def test_champion_after_the_gate(tmp_path: Path) -> None:
    _, page = render(tmp_path, cell(tmp_path), decisions={"tile": decision(True)})
    text = " ".join(page.text.split())
    assert "accepted padim new-release replaces stfpm old-release" in text
    assert "s3://bucket/line" in text
    _, page = render(tmp_path, cell(tmp_path), decisions={"tile": decision(False)})
    text = " ".join(page.text.split())
    assert "refused stfpm old-release refused: padim new-release" in text
    assert "not published" in text and "s3://bucket/line" not in text


def test_untrained_weights_are_said(tmp_path: Path) -> None:
    _, page = render(tmp_path, cell(tmp_path, backbone_weights="random"), cell(tmp_path, "gear"))
    assert "The backbone of tile has random weights." in page.text
    _, page = render(tmp_path, cell(tmp_path))
    assert "random weights" not in page.text


def test_curves_are_drawn_to_scale(tmp_path: Path) -> None:
    _, page = render(tmp_path, cell(tmp_path))
    roc, pro = (each["points"] for each in page.all("polyline"))
    assert roc == "0,200 0,100 200,0"
    assert pro == "0,200 100,100 200,0"
    (dot,) = page.all("circle")  # overkill 0.5, miss 0.5
    assert (dot["cx"], dot["cy"]) == ("100.0", "100.0")


def test_damaged_rows_are_left_out_and_said(tmp_path: Path) -> None:
    one = cell(tmp_path)
    rows = [*ROWS, ("test/crack/2.png", "crack", "nan", "good", ""), ("", "good", 1, "perhaps", "")]
    table(one.folder / "scores.csv", "path,label,score,decision,picture", list(rows))
    _, page = render(tmp_path, one)
    assert "scores.csv, line 6: label, score or decision unusable; left out" in page.text
    assert "scores.csv, line 7" in page.text and "1 of 2 missed" in page.text


def test_cell_without_a_threshold_is_shown_undecided(tmp_path: Path) -> None:
    one = cell(tmp_path, threshold=None, miss=None, overkill=None)
    rows = [(path, label, score, "", picture) for path, label, score, _, picture in ROWS]
    table(one.folder / "scores.csv", "path,label,score,decision,picture", list(rows))
    refused = decision(False, challenger={"algorithm": "padim", "release": None})
    _, page = render(tmp_path, one, decisions={"tile": refused})
    assert page.text.count("not decided") == 4 and "missed" not in page.text.split("Miss:")[0]
    assert [each["title"] for each in page.all("abbr")].count(
        "no threshold: too few good images"
    ) == 3
    assert "None" not in page.text and not page.all("circle")


def test_report_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render(tmp_path, title="first")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="input/output"):
        render(tmp_path, title="second")
    assert "<title>first</title>" in (tmp_path / "report.html").read_text("utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or ""


@pytest.mark.skipif(not BROWSER, reason="no chromium on the PATH")
def test_the_slider_counts_as_the_line_decides(tmp_path: Path) -> None:
    scores = [score for _, _, score, _, _ in ROWS]
    tried = [0.4, 0.5, 0.75, 1.0, 1.7, 2.5, float(np.nextafter(2.5, 0)), 5.0, 9.0, 9.5]
    cells = [
        cell(tmp_path, "tile", f"a{number}", threshold=threshold, accept=0.9)
        for number, threshold in enumerate(tried)
    ]
    render(tmp_path, *cells)
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "report.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    shown = re.findall(r'data-count="(\w+)\.(\w+)">(\d+)<', dom)
    assert len(shown) == 6 * len(tried)
    kinds = {"accepted": "good", "review": "review", "rejected": "defect"}
    for number, threshold in enumerate(tried):
        for label, kind, count in shown[6 * number : 6 * number + 6]:
            decided = [
                decide(score, threshold, 0.9)
                for (_, of, *_), score in zip(ROWS, scores, strict=True)
                if (of == "good") == (label == "good")
            ]
            assert int(count) == decided.count(kinds[kind]), (threshold, label, kind)


def test_without_a_threshold_there_is_nothing_to_slide(tmp_path: Path) -> None:
    assert "form" not in {
        name for name, _ in render(tmp_path, cell(tmp_path, threshold=None))[1].tags
    }
    _, page = render(tmp_path, cell(tmp_path))
    [form] = page.all("form")
    data = json.loads(form["data-scores"] or "")
    assert data == {"threshold": 2.0, "accept": None, "good": [1.0, 2.5], "defective": [0.5, 9.0]}
