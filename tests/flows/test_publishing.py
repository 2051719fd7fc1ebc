"""A run publishes to a bucket, and what is decided by hand there is respected."""

import json
import threading
import uuid
from dataclasses import replace

import pytest

from tasks.documents.threshold import Thresholds
from tasks.fit import fit
from tasks.images.decode import decode_image
from tasks.images.read_image import read_image
from tasks.models.inspector import Inspector
from tasks.models.verdict import VerdictModel
from tasks.promotion.assembly import assemble
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.store.opening import store_of
from tasks.store.release import read_manifest
from tasks.store.releases import publish, releases
from tasks.workspace.errors import DataError
from tasks.workspace.files import read_rows
from tasks.workspace.listener import Listener
from tests.flows.conftest import edit, write_params
from tests.s3_servers import rclone_server, use_server


@pytest.fixture
def bucket(copy, moto_s3, monkeypatch):
    """The trained workspace with its store in a bucket that is empty."""
    use_server(monkeypatch, moto_s3)
    return to_bucket(copy)


def to_bucket(workspace, **line):
    address = f"s3://models/{uuid.uuid4().hex}"
    write_params(workspace.root, line={"device": "cpu", "store": address, **line})
    return workspace


def images(workspace, product):
    return sorted(workspace.images(product).glob("test/*/*.png"))


def predicted_by_the_model(folder, path):
    """The model's own score of an image, which is the highest value of its map."""
    inspector = replace(Inspector.load(folder), rule="model")
    return inspector.inspect(read_image(path)).score


def test_a_run_publishes_to_a_bucket_and_predict_reads_it(
    bucket, command, monkeypatch, tmp_path, prefect
):
    monkeypatch.setenv("HOME", str(tmp_path))
    edit(bucket, "plate", release={"onnx": True}, threshold={"score": "top"})
    result = command(bucket, "run")
    assert result.exit_code == 0 and "fit plate" not in result.output
    store = store_of(bucket)
    pointer = champion(store, "plate")
    assert f"{store.address}/releases/plate/{pointer.release}" in result.output
    assert pointer.release in command(bucket, "releases", "plate").output
    path, *_ = images(bucket, "plate")
    address = f"{store.address}/plate"
    folder = bucket.scratch / "releases"
    told = ["--json", "--part", "(?P<part>.+)"]
    by_name = json.loads(command(bucket, "predict", "plate", path, *told).stdout)
    by_address = json.loads(command(tmp_path, "predict", address, path, *told).stdout)
    [fetched] = folder.rglob(f"*{pointer.release}*/fit.json")
    assert (fetched.parent / "model.onnx").is_file()
    score, _ = VerdictModel(fetched.parent / "inspect.onnx").verdict(
        decode_image(path.read_bytes(), path).pixels
    )
    assert score == pytest.approx(by_name["score"], rel=1e-4)
    by_folder = json.loads(command(tmp_path, "predict", fetched.parent, path, *told).stdout)
    assert by_name == by_address == by_folder
    rows = read_rows(bucket.evaluation("plate", pointer.algorithm) / "scores.csv")
    [evaluated] = [row for row in rows if bucket.images("plate") / row["path"] == path]
    assert by_name["score"] == pytest.approx(float(evaluated["score"]), rel=1e-4)
    limits = Thresholds.read(fetched.parent / "threshold.json")
    assert limits.score_rule == "top" and by_name["score"] < predicted_by_the_model(
        fetched.parent, path
    )
    assert by_name["decision"] == ("defect" if by_name["score"] > by_name["threshold"] else "good")


def test_a_licence_of_its_own_is_in_the_release_or_nothing_is_published(
    copy, tmp_path, monkeypatch
):
    """An encoder that claims such a licence: a fit takes the text along, the manifest names it."""
    source = property(lambda _: "encoder of file sha256:1, licence dinov3-license")
    monkeypatch.setattr("ad_models.Detector.weights", source)
    monkeypatch.setenv("INSPECTLINE_WEIGHTS", str(tmp_path))
    fit(copy, "plate", "padim", Listener("fit"))
    with pytest.raises(DataError, match=r"dinov3-license.*LICENSE\.md"):
        assemble(copy, "plate", "padim", None, tmp_path / "without")
    (tmp_path / "LICENSE.md").write_text("terms")
    fit(copy, "plate", "padim", Listener("fit"))
    monkeypatch.delenv("INSPECTLINE_WEIGHTS")  # another machine publishes
    store = store_of(copy)
    about = assemble(copy, "plate", "padim", None, tmp_path / "release")
    release = publish(tmp_path / "release", "plate", store, about)
    assert "weights-LICENSE.md" in read_manifest(store, "plate", release).files
    fetched = fetch(store, "plate", release, tmp_path / "fetched")
    assert (fetched / "weights-LICENSE.md").read_text() == "terms"


def test_predict_decides_as_the_evaluation_did_and_draws_maps(copy, command, tmp_path):
    pointer = champion(store_of(copy), "plate")
    scores = copy.evaluation("plate", pointer.algorithm) / "scores.csv"
    rows = [line.split(",") for line in scores.read_text().splitlines()[1:]]
    paths = [copy.images("plate") / row[0] for row in rows]
    result = command(copy, "predict", "plate", *paths, "--json", "--maps", tmp_path / "maps")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["score"] for one in found] == pytest.approx([float(r[2]) for r in rows], rel=1e-4)
    assert len(list((tmp_path / "maps").glob("*.jpg"))) == len(rows)


def test_what_was_rolled_back_is_not_promoted_again(bucket, command, prefect, tmp_path):
    command(bucket, "run")
    store = store_of(bucket)
    best = champion(store, "cap").release
    folder = fetch(store, "cap", best, tmp_path)
    (folder / "manifest.json").unlink()
    (folder / "note.txt").write_text("the same model with a note")
    other = publish(folder, "cap", store, read_manifest(store, "cap", best).about)
    for change in (
        ("promote", "cap", other),
        ("promote", "cap", best),
        ("rollback", "cap"),  # from best to other
        ("rollback", "cap"),  # from other to best, the first of all
        ("promote", "cap", other),
        ("promote", "cap", best),
        ("rollback", "cap"),
    ):
        assert command(bucket, *change, "--reason", "scratches pass").exit_code == 0
    assert champion(store, "cap").release == other
    assert len(releases(store, "cap")) == 2
    result = command(bucket, "run")
    assert result.exit_code == 0
    assert f"release {best} was rolled back by" in result.output
    assert f"`inspectline promote cap {best}` overrules" in result.output
    assert champion(store, "cap").release == other
    command(bucket, "promote", "cap", best)
    assert command(bucket, "run").exit_code == 0
    assert champion(store, "cap").release == best


def test_wrong_credentials_are_named_and_cost_no_cell(
    copy, command, rclone_s3, monkeypatch, prefect
):
    use_server(monkeypatch, rclone_s3)
    to_bucket(copy, single_writer=True)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    result = command(copy, "run")
    assert result.exit_code == 1
    assert "failed: gate cap: " in result.output and "failed: gate plate: " in result.output
    assert "credentials" in result.output.lower() or "AWS_SECRET_ACCESS_KEY" in result.output
    assert command(copy, "releases", "cap").exit_code == 1
    use_server(monkeypatch, rclone_s3)
    result = command(copy, "run")
    assert result.exit_code == 0 and "nothing to train" in result.output
    assert champion(store_of(copy), "cap")


def test_a_dead_server_is_named_and_a_run_waits_until_it_is_back(
    copy, command, tmp_path, monkeypatch, prefect
):
    (tmp_path / "disk" / "models").mkdir(parents=True)
    server = rclone_server(tmp_path / "disk")
    use_server(monkeypatch, server)
    to_bucket(copy, single_writer=True, patience=1.0)
    result = command(copy, "run")
    assert result.exit_code == 1
    assert "failed: gate cap: " in result.output and server.url in result.output
    to_bucket(copy, single_writer=True, patience=120.0)
    back = threading.Timer(5.0, server.start)
    back.start()
    try:
        result = command(copy, "run")
        assert result.exit_code == 0 and "nothing to train" in result.output
        assert champion(store_of(copy), "cap")
    finally:
        back.join()
        server.kill()
