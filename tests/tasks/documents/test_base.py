"""Every document: written as it was given, read whatever version wrote it, named where damaged."""

import json

import pytest

from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision
from tasks.documents.manifest import Manifest
from tasks.documents.metrics import Metrics
from tasks.documents.prediction import Prediction
from tasks.documents.schemas import DOCUMENTS
from tasks.documents.threshold import Thresholds
from tasks.workspace.errors import DataError, StoreError

ID = "0123456789abcdef"
POINTER = {"product": "nut", "release": ID, "algorithm": "padim", "since": "2026", "record": "key"}
MANIFEST = {
    "product": "nut",
    "release": ID,
    "algorithm": "padim",
    "created": "2026",
    "files": {"model.bin": {"sha256": "ab", "bytes": 3}},
    "about": {"algorithm": "padim", "metrics": {"image_auroc": 0.9, "intervals": {"miss": None}}},
}
OLD = {  # what may be missing is; no version
    "metrics": {"product": "nut", "image_auroc": 0.75, "pixel_auroc": None, "test_good": 4},
    "threshold": {"threshold": 2.5, "map_top": 3.0},
    "decision": {"accepted": False, "challenger": {"algorithm": "padim", "release": None}},
    "champion": {"format": 1, **POINTER, "history": [ID]},
    "manifest": {"format": 1, **MANIFEST},
    "model_card": {"product": "nut", "algorithm": "padim"},
    "golden": {"release": ID, "tolerance": 0.1, "images": []},
    "result": {
        **{"product": "nut", "release": ID, "algorithm": "padim", "part": "7", "sha256": "ab"},
        **{"decision": "good", "time": "2026-05-04T03:02:01+00:00"},
    },
    "prediction": {"time": "2026-05-04T03:02:01+00:00", "score": 1.5},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_older_form_is_read_and_written_as_it_was_with_a_version(name, tmp_path):
    kind = DOCUMENTS[name]
    found = kind.parse(json.dumps(OLD[name]), "here")
    assert found.dump() == OLD[name] | {"version": 1} | nested(name)
    found.write(tmp_path / "document.json")
    assert kind.read(tmp_path / "document.json") == found
    text = (tmp_path / "document.json").read_text()
    assert json.loads(text) == found.dump() and text.startswith('{\n "version": 1,')


def nested(name):
    """Figures within a manifest are a document too."""
    if name != "manifest":
        return {}
    about = MANIFEST["about"]
    return {"about": about | {"metrics": {"version": 1, **about["metrics"]}}}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_later_version_adds_is_kept(name):
    later = OLD[name] | {"version": 7, "colour": {"of": ["it"]}}
    found = DOCUMENTS[name].parse(json.dumps(later), "here")
    assert found.version == 7 and found.dump()["colour"] == {"of": ["it"]}


def test_a_part_keeps_what_it_does_not_know():
    sides = {"accepted": True, "challenger": {"algorithm": "padim", "colour": "red"}}
    assert Decision.parse(json.dumps(sides), "here").dump()["challenger"]["colour"] == "red"


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("content", [b"{", b"[1]", b"", b"\xff\xfe\x00", b'{"x": NaN}'])
def test_what_is_no_json_object_is_named(name, content):
    kind = DOCUMENTS[name]
    with pytest.raises(kind.error, match=r"^cap/file.json is damaged: it is no") as error:
        kind.parse(content, "cap/file.json")
    assert kind.remedy in str(error.value)


@pytest.mark.parametrize(
    ("kind", "content", "key"),
    [
        (Metrics, {"image_auroc": "0.9"}, "image_auroc"),
        (Metrics, {"test_good": 1.5}, "test_good"),
        (Thresholds, {"accept": 1.0}, "threshold: field required"),
        (Thresholds, {"threshold": True}, "threshold"),
        (Decision, {"accepted": "yes", "challenger": {"algorithm": "a"}}, "accepted"),
        (Decision, {"accepted": True, "challenger": ["a"]}, "challenger"),
        (Prediction, {"score": 1.0}, "time: field required"),
        (Manifest, {"format": 1, **MANIFEST, "files": {"a": {"bytes": 1}}}, "files.a.sha256"),
        (Pointer, {"format": 1, **POINTER, "history": "none"}, "history"),
        (Pointer, POINTER, "format: field required"),
    ],
)
def test_a_key_that_is_wrong_is_named(kind, content, key):
    with pytest.raises(kind.error, match=f"^file is damaged: {key}") as error:
        kind.parse(json.dumps(content), "file")
    assert error.type in (DataError, StoreError) and kind.remedy in str(error.value)


def test_of_many_faults_the_first_are_named():
    content = json.dumps(dict.fromkeys(["review", "miss", "overkill", "image_ap"], "x"))
    with pytest.raises(DataError, match=r"image_ap: .*; miss: .*; overkill: .*; \.\.\.; "):
        Metrics.parse(content, "file")


def test_a_file_that_is_missing_is_named_with_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"metrics\.json is missing; .inspectline run."):
        Metrics.read(tmp_path / "metrics.json")


def test_nan_is_written_by_nobody(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Metrics(image_auroc=float("nan")).write(tmp_path / "metrics.json")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text_is_kept():
    content = json.dumps(
        {"accepted": True, "challenger": {"algorithm": "a"}, "reasons": ["\udcff"]}
    )
    assert Decision.parse(content, "here").dump()["reasons"] == ["\udcff"]


def test_documents_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Thresholds(threshold=1.0).threshold = 2.0


def test_a_store_of_a_later_format_is_refused_and_says_so():
    for kind in (Manifest, Pointer):
        with pytest.raises(StoreError, match="here has format 2, this version reads 1; upgrade"):
            kind.parse(b'{"format": 2}', "here")


def test_a_figure_is_a_number_or_none():
    found = Metrics(algorithm="padim", image_auroc=0.5, test_good=3)
    asked = ("image_auroc", "test_good", "pixel_auroc", "algorithm", "own_cost")
    assert [found.figure(name) for name in asked] == [0.5, 3, None, None, None]
