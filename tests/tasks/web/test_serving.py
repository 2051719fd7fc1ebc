"""The HTTP service decides as `predict` does, refuses what it should, and exchanges champions."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from ad_models import Batch, create
from tasks.documents.manifest import About
from tasks.documents.threshold import Thresholds
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.models.inspector import Inspector
from tasks.models.release_model import ReleaseModel
from tasks.models.served import LAST, ChampionWatch, Served
from tasks.monitoring.log import PredictionLog, read_log
from tasks.predict import predict_images
from tasks.spec.schema import Image as ImageSpec
from tasks.store.champion import champion, promote, rollback
from tasks.store.fetch_release import fetch
from tasks.store.opening import locate, source_of, store_of
from tasks.store.release import read_manifest
from tasks.store.releases import publish
from tasks.store.seal import Seal
from tasks.web.serving.app import create_app
from tasks.web.serving.batching import Batches
from tasks.web.serving.budget import PixelBudget
from tasks.web.serving.handling import RequestHandler
from tasks.web.serving.upload import Settings
from tasks.workspace.errors import LineError, StoreError
from tasks.workspace.files import write_json
from tasks.workspace.paths import CARD, MODEL, ONNX, find
from tests.tasks.store.test_seal import key_pair
from tests.tasks.web import listeners

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
    detector = create("padim", backbone="drawnet", dims=8)
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
def listening(app, limits=None):
    """A client of the service, which listens on a port of its own."""
    with (
        listeners.served(app, limits) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


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


def test_a_champion_that_nobody_trusted_has_signed_is_not_served(copy, tmp_path):
    pytest.importorskip("model_signing", reason="pip install inspectline[signing]")
    key, public = key_pair(tmp_path, "line")
    store, folder = store_of(find(copy)), copy / "made"
    store.seal = Seal(key)
    first = publish(folder, "plate", store, About(algorithm="padim"))
    (copy / "params.yaml").write_text(f"line: {{device: cpu, trust: ['{public}']}}")
    served = served_from(copy)
    (folder / "note.txt").write_text("by a stranger")
    store.seal = Seal()
    second = publish(folder, "plate", store, About(algorithm="padim"))
    promote(store, "plate", second, reason="test", by="a stranger")
    assert not served.look() and served.champion.release == first
    assert f"release {second} of plate is not used" in served.trouble


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
    odd = post(client, png(8, 8), params={"heat_map": "zz"})
    assert odd.status_code == 422 and odd.json()["error"].startswith("heat_map: input should be")


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
        same = {"time": one.time, "part": one.part, "image": None}
        assert one.part != other.part and one == other.model_copy(update=same)


def test_a_log_that_cannot_be_written_costs_no_inspection(line, served, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with listening(create_app([served], Settings(log=tmp_path / "file"))) as client:
        assert post(client, images(line)[0].read_bytes()).status_code == 200
    assert "not logged" in caplog.text


def test_a_failure_of_the_model_is_an_answer_too(copy):
    served = served_from(copy)

    def broken(_):
        raise RuntimeError("out of memory")

    served.champion.model.inspector.inspect_prepared = broken
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
    pixels = np.asarray(Image.open(images(line)[0]).convert("RGB"), np.float32) / np.float32(255)
    by = served.champion
    good = by.model.inspector.prepare(pixels)
    bad = good._replace(tiles=np.zeros((1, 4, 4, 2)))
    begun, held = threading.Event(), threading.Event()
    sizes = []

    def note(count):
        sizes.append(count)
        begun.set()
        held.wait(30)

    batches = Batches(8, note)
    first = batches.submit(by, good)  # the thread waits with it while the others gather
    begun.wait(30)
    jobs = [batches.submit(by, one) for one in (good, bad, good)]
    held.set()
    assert first.result(60).score == jobs[0].result(60).score == jobs[2].result(60).score
    assert jobs[1].exception(60) is not None
    assert sizes == [1, 3]
    batches.close()


def test_a_score_near_the_threshold_is_taken_as_predict_takes_it(served, monkeypatch):
    """Alone, not in a batch: the last digits would decide."""
    from tasks.web.serving.batching import inspect_together

    model = served.champion.model
    asked: list[int] = []
    whole = model.inspector.inspect_prepared
    shades = (np.full((64, 64, 3), shade, np.float32) for shade in (0.2, 0.5, 0.9))
    images = [model.inspector.prepare(shade) for shade in shades]
    scores = [one.score for one in whole(images)]
    model = ReleaseModel(model.inspector, Thresholds(threshold=scores[1], accept=scores[1]))
    monkeypatch.setattr(
        model.inspector, "inspect_prepared", lambda many: asked.append(len(many)) or whole(many)
    )
    inspect_together(model, images)
    near = sum(abs(score - scores[1]) <= 1e-3 * abs(scores[1]) for score in scores)
    assert near < 3 and asked == [3] + [1] * near


# How much is in memory at once


def large(side):
    """A PNG of `side` x `side` pixels that is quick to decode."""
    memory = io.BytesIO()
    Image.new("L", (side, side), 100).save(memory, "PNG", compress_level=1)
    return memory.getvalue()


def test_pixels_at_work_are_bounded_and_all_are_answered(served, monkeypatch):
    """However many come at once, and one that is above the bound is inspected alone."""
    most, held = [], threading.Lock()
    whole = RequestHandler._see

    def noted(handler, *arguments):
        with held:
            most.append(handler.budget.at_work)
        return whole(handler, *arguments)

    monkeypatch.setattr(RequestHandler, "_see", noted)
    settings = Settings(at_work=0.25)
    with listening(create_app([served], settings)) as client, ThreadPoolExecutor(12) as pool:
        sides = [300, 400, 700, 200, 300, 64] * 3
        answers = list(pool.map(lambda side: post(client, large(side)).status_code, sides))
        assert "inspectline_pixels 0.0" in client.get("/metrics").text
    assert set(answers) == {200}
    assert max(most) == 250_000


def test_the_budget_is_kept_in_any_order_of_come_and_go():
    """And no more than one budget of pixels passes anybody, however long others come."""

    async def run(seed):
        random = np.random.default_rng(seed)
        budget, seen, order = PixelBudget(100), [], []

        async def one(number, pixels, pause, patience):
            async def work():
                async with budget.spend(pixels):
                    order.append((number, min(pixels, 100)))
                    seen.append(budget.at_work)
                    await asyncio.sleep(pause)

            with suppress(TimeoutError):
                await asyncio.wait_for(work(), patience)

        draws = [(int(random.integers(1, 160)), *random.random(2)) for _ in range(30)]
        jobs = [one(n, p, 0.002 * a, 0.01 + 0.05 * b) for n, (p, a, b) in enumerate(draws)]
        await asyncio.gather(*jobs)
        assert budget.at_work == 0 and max(seen) <= 100 and not budget._waiting
        for at, (number, _) in enumerate(order):
            assert sum(pixels for other, pixels in order[:at] if other > number) <= 100

    for seed in range(5):
        asyncio.run(run(seed))


def test_a_small_image_does_not_wait_behind_large_ones_and_a_large_one_gets_its_turn():
    async def run():
        budget, order, over = PixelBudget(100), [], asyncio.Event()

        async def hold(name, pixels, until=None):
            async with budget.spend(pixels):
                order.append(name)
                if until:
                    await until.wait()

        first = asyncio.create_task(hold("large", 80, over))
        await asyncio.sleep(0)
        jobs = [asyncio.create_task(hold("next large", 80))]
        jobs += [asyncio.create_task(hold(f"small {n}", 10)) for n in range(20)]
        await asyncio.sleep(0.05)
        assert order == ["large", *(f"small {n}" for n in range(10))]  # one budget of pixels passed
        over.set()
        await asyncio.gather(first, *jobs)
        assert order[11] == "next large" and len(order) == 22
        assert budget.at_work == 0

    asyncio.run(run())


def test_uploads_in_memory_are_bounded(served, line):
    data = images(line)[0].read_bytes()
    with listening(create_app([served], Settings(waiting_mb=len(data) / 2e6))) as client:
        answer = post(client, data)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert list(answer.json()) == ["error"]
    with listening(create_app([served], Settings(waiting_mb=1.5 * len(data) / 1e6))) as client:
        assert [post(client, data).status_code for _ in range(3)] == [200] * 3  # it is given back


@pytest.mark.parametrize(("height", "width"), [(300, 64), (64, 300), (40, 50), (1, 200)])
def test_a_heat_map_is_drawn_at_a_bounded_size(served, height, width):
    data = png(height, width, 90)
    with listening(create_app([served], Settings(heat_side=100))) as client:
        told = post(client, data, params={"heat_map": True}).json()
    drawn = Image.open(io.BytesIO(base64.b64decode(told["heat_map"])))
    scale = min(1, 100 / max(height, width))
    assert drawn.size == (max(1, round(width * scale)), max(1, round(height * scale)))


@pytest.mark.parametrize("bits", [None, 12])
def test_a_bounded_heat_map_shows_what_the_whole_one_shows(served, bits):
    random = np.random.default_rng(3)
    image = random.random((200, 120, 3), np.float32) / (16 if bits else 1)
    whole = served.champion.model
    preprocess = Preprocess(ImageSpec(size=SIZE, bits=bits))
    model = ReleaseModel(Inspector(whole.inspector.detector, preprocess), whole.decision)
    found = model.inspector.inspect(image)
    whole = model.picture(image, found).resize((60, 100), Image.Resampling.BOX)
    drawn = model.small_picture(model.background(image, 100), found)
    assert drawn.size == (60, 100)
    difference = np.abs(np.asarray(whole, float) - np.asarray(drawn, float))
    assert difference.mean() < 8


@pytest.mark.slow
def test_three_images_of_fifty_megapixels_at_once_need_little_memory(line, tmp_path):
    """In a process of its own, whose peak is measured."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.tasks.web.test_serving import *
served = served_from(Path({str(line)!r}))
data = png(7000, 7000, 90)
app = create_app([served], Settings(log=Path({str(tmp_path)!r})))
with listening(app) as client, ThreadPoolExecutor(3) as pool:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ask = lambda _: post(client, data, params={{"heat_map": True}}, timeout=300).status_code
    assert list(pool.map(ask, range(3))) == [200] * 3
    print(before // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    before, peak = map(int, ended.stdout.split())
    assert peak - before < 3000, (before, peak)  # MB; it was 13,000


# The watch over champions


def break_model(folder):
    (folder / MODEL).write_bytes(b"no model at all")


def break_onnx(folder):
    (folder / ONNX).write_bytes(b"\x08garbage")


def break_card(folder):
    (folder / CARD).write_text("{}")


def break_limits(folder):
    (folder / "threshold.json").write_text('{"threshold": "high"}')


def lose_model(folder):
    (folder / MODEL).unlink()


BROKEN = [break_model, break_onnx, break_card, break_limits, lose_model]


def broken_release(root, tmp_path, how):
    store = store_of(find(root))
    first = champion(store, "plate").release
    folder = fetch(store, "plate", first, tmp_path / how.__name__)
    (folder / "manifest.json").unlink()
    how(folder)
    return publish(folder, "plate", store, read_manifest(store, "plate", first).about)


@pytest.mark.parametrize("how", BROKEN)
def test_whatever_a_champion_is_the_present_one_stays_and_a_rollback_is_seen(copy, tmp_path, how):
    served = served_from(copy)
    first = served.champion
    store = store_of(find(copy))
    bad = broken_release(copy, tmp_path, how)
    promote(store, "plate", bad, reason="test", by="test")
    with listening(create_app([served], Settings(), every=0.02)) as client:
        until(lambda: served.trouble)
        assert served.champion is first
        assert client.get("/healthz").json() == {"status": "degraded"}
        assert post(client, images(copy)[0].read_bytes()).json()["release"] == first.release
        rollback(store, "plate", reason="test", by="test")
        until(lambda: not served.trouble)
        assert client.get("/healthz").json() == {"status": "ok"}
        good = another_release(copy, tmp_path, display_span=2.0)
        promote(store, "plate", good, reason="test", by="test")
        until(lambda: served.champion.release == good)


POINTERS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"format": 1}',
    b'{"format": 9}',
    b"[" * 9000,
    b'{"format": 1, "product": "plate", "release": "../..", "algorithm": "a", "since": "x", '
    b'"record": ""}',
    b'{"format": 1, "product": "plate", "release": "0123456789abcdef", "algorithm": "a", '
    b'"since": "x", "record": ""}',
]


@pytest.mark.parametrize("pointer", POINTERS)
def test_whatever_the_pointer_says_the_watch_goes_on(copy, pointer):
    served = served_from(copy)
    path = copy / "store" / "champions" / "plate.json"
    good = path.read_bytes()
    path.write_bytes(pointer)
    assert not served.look() and served.trouble
    path.write_bytes(good)
    assert not served.look() and not served.trouble


def test_a_store_that_names_no_champion_any_more_is_told(copy):
    served = served_from(copy)
    (copy / "store").rename(copy / "elsewhere")  # as a share that is not mounted
    assert not served.look() and "names no champion any more" in served.trouble
    (copy / "elsewhere").rename(copy / "store")
    assert not served.look() and not served.trouble


class Panic(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize("error", [Panic("rust"), MemoryError(), RecursionError(), KeyError("x")])
def test_the_watch_survives_anything_and_says_so(copy, error, monkeypatch):
    served = served_from(copy)

    def fails(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("tasks.models.served.champion", fails)
        with listening(create_app([served], Settings(), every=0.02)) as client:
            until(lambda: served.trouble)
            assert client.get("/healthz").json() == {"status": "degraded"}
            patch.undo()
            until(lambda: not served.trouble)
            assert client.get("/healthz").json() == {"status": "ok"}


def test_the_end_waits_for_a_champion_that_is_being_loaded():
    loading, loaded = threading.Event(), []

    class Slow:
        def look(self):
            loading.set()
            time.sleep(0.5)
            loaded.append(self)

    watch = ChampionWatch([Slow(), Slow()], 0.01)
    watch.start()
    assert loading.wait(10)
    watch.stop()
    assert len(loaded) == 1 and not watch._thread.is_alive()


def test_a_watch_that_hangs_or_is_gone_is_told(served, monkeypatch):
    watch = ChampionWatch([served], 0.01)
    assert watch.trouble == ""
    watch.start()
    assert watch.trouble == ""
    watch.stop()
    watch._thread.join(10)
    assert "nobody looks" in watch.trouble
    slow = ChampionWatch([served], 0.01)
    monkeypatch.setattr("tasks.models.served.PATIENCE", -1.0)
    assert "has taken" in slow.trouble


def test_a_release_that_cannot_be_used_is_not_tried_at_every_look(copy, tmp_path, monkeypatch):
    served = served_from(copy)
    tried = []
    whole = Served._load
    monkeypatch.setattr(Served, "_load", lambda self, one: tried.append(one) or whole(self, one))
    bad = broken_release(copy, tmp_path, break_model)
    promote(store_of(find(copy)), "plate", bad, reason="test", by="test")
    for _ in range(5):
        served.look()
    assert tried == [bad] and served.trouble
    monkeypatch.setattr("tasks.models.served.time.monotonic", lambda: 1e12)
    served.look()
    assert tried == [bad, bad]


def test_a_start_with_a_broken_champion_serves_what_was_served_last(copy, tmp_path):
    first = served_from(copy).champion.release
    bad = broken_release(copy, tmp_path, break_model)
    promote(store_of(find(copy)), "plate", bad, reason="test", by="test")
    again = served_from(copy)
    assert again.champion.release == first and again.trouble
    for torn in ("", "{", "[]", '{"release": 1}'):
        (copy / ".inspectline/releases/plate" / LAST).write_text(torn)
        with pytest.raises(LineError, match="promote another release"):
            served_from(copy)


def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
