"""The HTTP service decides as `predict` does, refuses what it should, and exchanges champions."""

import base64
import io
import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image

from ad_models import Batch, create
from tasks.documents.manifest import About
from tasks.documents.threshold import Thresholds
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.models.release_model import ReleaseModel
from tasks.monitoring.log import PredictionLog, read_log
from tasks.predict import predict_images
from tasks.spec.schema import Image as ImageSpec
from tasks.store.champion import champion, promote
from tasks.store.fetch_release import fetch
from tasks.store.opening import locate, source_of, store_of
from tasks.store.release import read_manifest
from tasks.store.releases import publish
from tasks.web.serving.app import create_app
from tasks.web.serving.batching import Batches
from tasks.web.serving.served import LAST, Served
from tasks.web.serving.upload import Settings
from tasks.workspace.errors import StoreError
from tasks.workspace.files import write_json
from tasks.workspace.paths import CARD, MODEL, find

SIZE = 64
GOOD, BAD = 6, 3


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A workspace whose store holds a champion of `plate`, with images to inspect."""
    root = tmp_path_factory.mktemp("line")
    return make_line(root)


@pytest.fixture
def copy(line, tmp_path):
    """The workspace, to be changed."""
    shutil.copytree(line, tmp_path / "copy")
    return tmp_path / "copy"


def make_line(root):
    (root / ".dvc").mkdir()
    (root / "params.yaml").write_text("line: {device: cpu}")
    (root / "images").mkdir()
    random = np.random.default_rng(0)
    for index in range(GOOD + BAD):
        pixels = random.integers(90, 110, (SIZE, SIZE, 3), np.uint8)
        if index >= GOOD:
            pixels[20:40, 20:40] = 250
        Image.fromarray(pixels).save(root / "images" / f"{index:02d}.png")
    folder = root / "made"
    folder.mkdir()
    preprocess = Preprocess(ImageSpec(size=SIZE))
    seen = torch.from_numpy(np.stack([preprocess(read_image(path)) for path in images(root)]))
    detector = create("padim", backbone="resnet18", dims=8, weights="random")
    detector.fit([Batch(seen[:GOOD], ["plate"] * GOOD)]).save(folder / MODEL)
    write_json(folder / CARD, {"image": {"size": SIZE}})
    found = detector.predict(seen)
    limit = float(found.score[:GOOD].max() + found.score[GOOD:].min()) / 2
    decision = {"threshold": limit, "accept": limit, "pixel_threshold": limit, "map_top": 2 * limit}
    write_json(folder / "threshold.json", decision)
    store = store_of(find(root))
    release = publish(folder, "plate", store, About(algorithm="padim"))
    promote(store, "plate", release, reason="test", by="test")
    return root


def served_from(root):
    return Served(*source_of(root, "plate"), "cpu")


@pytest.fixture(scope="module")
def served(line):
    return served_from(line)


@pytest.fixture
def client(served):
    with listening(create_app([served], Settings(upload_mb=0.5, megapixels=0.5))) as client:
        yield client


@contextmanager
def listening(app):
    """A client of the service, which listens on a port of its own."""
    config = uvicorn.Config(app, port=0, log_level="warning")
    listening = config.bind_socket()
    listening.listen()  # or a request that comes before the server does is refused
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(60)


def images(root):
    return sorted((root / "images").glob("*.png"))


def post(client, content, product="plate", **options):
    return client.post(f"/products/{product}/inspect", content=content, **options)


def png(height, width, value=0):
    memory = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(memory, "PNG")
    return memory.getvalue()


def test_the_service_tells_what_predict_tells_of_the_same_bytes(line, client):
    paths = images(line)
    predicted = list(predict_images(locate(line, "plate"), paths, None, "cpu"))
    with ThreadPoolExecutor(len(paths)) as pool:
        told = list(pool.map(lambda path: post(client, path.read_bytes()).json(), paths))
    pointer = champion(store_of(find(line)), "plate")
    for one, other in zip(told, predicted, strict=True):
        assert one["decision"] == other["decision"] and one["product"] == "plate"
        assert one["release"] == pointer.release and one["algorithm"] == pointer.algorithm
        assert one["score"] == pytest.approx(other["score"], rel=1e-4)
        assert one["displayed"] == pytest.approx(other["displayed"], rel=1e-3, abs=0.01)
        assert len(one["regions"]) == len(other["regions"])
    assert {one["decision"] for one in told} == {"good", "defect"}


def test_the_heat_map_is_that_of_predict(line, client, served):
    data = images(line)[0].read_bytes()
    told = post(client, data, params={"heat_map": True}).json()
    model = served.champion.model
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32) / np.float32(255)
    drawn = np.asarray(model.picture(image, model.inspector.inspect(image)), np.float32)
    seen = Image.open(io.BytesIO(base64.b64decode(told["heat_map"])))
    assert seen.format == "PNG"
    assert np.abs(np.asarray(seen, np.float32) - drawn).max() <= 1
    assert "heat_map" not in post(client, data).json()


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 422, "empty"),
        (b"no image at all", 415, "not an image"),
        (b"GIF89a and so on", 415, "GIF"),
        (png(64, 64)[:-20], 422, "damaged"),
        (png(1000, 1000), 422, "megapixels"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600_000), 413, "0.5 MB"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(client, content, status, word):
    answer = post(client, content)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and word in answer.json()["error"]
    metrics = client.get("/metrics").text
    assert f'inspectline_refused_total{{status="{status}"}} 1.0' in metrics


def test_an_upload_without_a_length_is_bounded_too(client):
    def endless():
        for _ in range(100):
            yield bytes(100_000)

    assert post(client, endless()).status_code == 413


def test_a_form_and_an_unknown_product_are_told_the_remedy(client):
    form = client.post("/products/plate/inspect", files={"image": png(8, 8)})
    assert form.status_code == 415 and "--data-binary" in form.json()["error"]
    assert "did you mean 'plate'?" in post(client, png(8, 8), "plat").json()["error"]
    assert client.get("/nowhere").json() == {"error": "Not Found"}


def test_a_token_is_asked_for_everywhere_but_for_health(served, line):
    data = images(line)[0].read_bytes()
    with listening(create_app([served], Settings(), token="secret")) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        for answer in (client.get("/metrics"), client.get("/products"), post(client, data)):
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        wrong = {"Authorization": "Bearer secrets"}
        assert post(client, data, headers=wrong).status_code == 401
        right = {"Authorization": "Bearer secret"}
        assert post(client, data, headers=right).status_code == 200
        assert client.get("/products", headers=right).json()[0]["product"] == "plate"


def test_metrics_count_what_was_decided(client, line, served):
    told = [post(client, path.read_bytes()).json() for path in images(line)[:3]]
    text = client.get("/metrics").text
    for decision in {one["decision"] for one in told}:
        count = sum(one["decision"] == decision for one in told)
        name = f'inspectline_inspections_total{{decision="{decision}",product="plate"}}'
        assert f"{name} {count}.0" in text
    now = served.champion
    assert f'{{algorithm="{now.algorithm}",product="plate",release="{now.release}"}} 1.0' in text


def test_what_the_service_logs_is_what_predict_logs(line, served, tmp_path):
    paths = images(line)
    log = PredictionLog(tmp_path / "predict", "plate")
    list(predict_images(locate(line, "plate"), paths, None, "cpu", log))
    with listening(create_app([served], Settings(log=tmp_path / "serve"))) as client:
        for path in paths:
            assert post(client, path.read_bytes()).status_code == 200
    ours, theirs = (
        list(read_log(tmp_path / name, "plate", 1, datetime.now(UTC)))
        for name in ("serve", "predict")
    )
    assert [one.image for one in theirs] == [str(path) for path in paths]
    assert len(ours) == len(paths)
    for one, other in zip(ours, theirs, strict=True):
        assert one == other.model_copy(update={"time": one.time, "image": None})


def test_a_log_that_cannot_be_written_costs_no_inspection(line, served, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with listening(create_app([served], Settings(log=tmp_path / "file"))) as client:
        assert post(client, images(line)[0].read_bytes()).status_code == 200
    assert "not logged" in caplog.text


def test_a_failure_of_the_model_is_an_answer_too(copy):
    served = served_from(copy)

    def broken(_):
        raise RuntimeError("out of memory")

    served.champion.model.inspector.inspect_all = broken
    with listening(create_app([served], Settings())) as client:
        answer = post(client, images(copy)[0].read_bytes())
        assert answer.status_code == 500 and "log says why" in answer.json()["error"]
        assert 'inspectline_refused_total{status="500"} 1.0' in client.get("/metrics").text


def test_waiting_is_bounded(served, line):
    """With a place for one, a second request is asked to come again, and then is answered."""
    data = images(line)[0].read_bytes()
    with listening(create_app([served], Settings(waiting=1))) as client:
        begun, go_on = threading.Event(), threading.Event()

        def slowly():
            begun.set()
            yield data[:100]
            go_on.wait(30)
            yield data[100:]

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(post, client, slowly())
            begun.wait(30)
            second = post(client, data)
            while second.status_code == 200:  # it was here before the first
                second = post(client, data)
            assert second.status_code == 503 and second.headers["retry-after"] == "1"
            go_on.set()
            assert first.result().status_code == 200
        assert post(client, data).status_code == 200


def another_release(root, tmp_path, product="plate", **decision):
    """A second release: the first with another threshold."""
    store = store_of(find(root))
    first = champion(store, product).release
    folder = fetch(store, product, first, tmp_path / "release")
    (folder / "manifest.json").unlink()
    path = folder / "threshold.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | decision))
    about = read_manifest(store, product, first).about
    return publish(folder, product, store, about)


def test_a_new_champion_is_taken_up_and_no_request_is_lost(copy, tmp_path):
    served = served_from(copy)
    first = served.champion.release
    second = another_release(copy, tmp_path, threshold=-1e9, accept=-1e9)
    data = images(copy)[0].read_bytes()
    with listening(create_app([served], Settings(), every=0.05)) as client:

        def ask(_):
            answer = post(client, data)
            assert answer.status_code == 200
            return answer.json()

        with ThreadPoolExecutor(4) as pool:
            before = list(pool.map(ask, range(8)))
            pending = [pool.submit(ask, n) for n in range(40)]
            promote(store_of(find(copy)), "plate", second, reason="test", by="test")
            told = [one.result() for one in pending]
            while told[-1]["release"] != second:
                told.append(ask(0))
    assert {one["release"] for one in before} == {first}
    for one in told:  # decided by one release or the other, never by a mixture
        assert (one["threshold"] == -1e9) == (one["release"] == second)
    releases = [one["release"] for one in told]
    assert set(releases) <= {first, second}


def test_a_champion_that_cannot_be_used_leaves_the_present_one_at_work(copy, tmp_path):
    served = served_from(copy)
    first = served.champion
    bad = another_release(copy, tmp_path, threshold=None)
    promote(store_of(find(copy)), "plate", bad, reason="test", by="test")
    assert not served.look()
    assert served.champion is first and "no threshold" in served.trouble
    with listening(create_app([served], Settings())) as client:
        assert client.get("/healthz").json() == {"status": "degraded"}
        assert post(client, images(copy)[0].read_bytes()).json()["release"] == first.release
        assert 'inspectline_trouble{product="plate"} 1.0' in client.get("/metrics").text


def test_a_start_without_the_store_serves_what_was_served_last(copy, tmp_path):
    store, name, cache = source_of(copy, "plate")
    with pytest.raises(StoreError):  # never served: nothing to fall back on
        Served(gone(copy), name, tmp_path / "empty", "cpu")
    (cache / name / LAST).unlink(missing_ok=True)
    release = Served(store, name, cache, "cpu").champion.release
    again = Served(gone(copy), name, cache, "cpu")
    assert again.champion.release == release and again.trouble


def gone(root):
    """A store that has lost everything."""
    from tasks.store.folder import FolderStore

    return FolderStore(root / "nowhere")


def test_an_image_that_fails_fails_alone(served, line):
    good = np.asarray(Image.open(images(line)[0]).convert("RGB"), np.float32) / np.float32(255)
    begun, held = threading.Event(), threading.Event()
    sizes = []

    def note(count):
        sizes.append(count)
        begun.set()
        held.wait(30)

    batches = Batches(8, note)
    first = batches.submit(served, good)  # the thread waits with it while the others gather
    begun.wait(30)
    jobs = [batches.submit(served, one) for one in (good, np.zeros((4, 4, 2, 2)), good)]
    held.set()
    assert first.result(60).found.score == jobs[0].result(60).found.score
    assert jobs[2].result(60).found.score == jobs[0].result(60).found.score
    assert jobs[1].exception(60) is not None
    assert sizes == [1, 3]
    batches.close()


def test_a_score_near_the_threshold_is_taken_as_predict_takes_it(served, monkeypatch):
    """Alone, not in a batch: the last digits would decide."""
    from tasks.web.serving.batching import inspect_together

    model = served.champion.model
    asked: list[int] = []
    whole = model.inspector.inspect_all
    images = [np.full((64, 64, 3), shade, np.float32) for shade in (0.2, 0.5, 0.9)]
    scores = [one.score for one in whole(images)]
    model = ReleaseModel(model.inspector, Thresholds(threshold=scores[1], accept=scores[1]))
    monkeypatch.setattr(
        model.inspector, "inspect_all", lambda many: asked.append(len(many)) or whole(many)
    )
    inspect_together(model, images)
    near = sum(abs(score - scores[1]) <= 1e-3 * abs(scores[1]) for score in scores)
    assert near < 3 and asked == [3] + [1] * near
