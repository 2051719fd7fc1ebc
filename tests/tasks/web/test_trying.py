"""A picture that a person tries gets the verdict of `predict` and leaves nothing behind; a page is
given what it needs to draw a mask."""

import base64
import io
import json
import shutil

import httpx
import numpy as np
import pytest
from PIL import Image

from tasks.documents.manifest import About
from tasks.images.pictures import SIDE
from tasks.models.warm import SHOWN, WarmChampion
from tasks.predict import predict_images
from tasks.products.draw_mask import as_png, set_mask
from tasks.store.champion import promote
from tasks.store.opening import locate, store_of
from tasks.store.releases import publish
from tasks.web.board import drawing, trying
from tasks.web.board.access import Access
from tasks.web.board.app import create_app
from tasks.web.refused import Refused
from tasks.workspace.errors import MissingError
from tasks.workspace.paths import find
from tests.tasks.boards import Client
from tests.tasks.web.test_drawn_requests import state
from tests.tasks.web.test_serving import images, make_line, png

CRACK = "test/crack/1.png"
OURS = {"X-Inspectline": "board", "Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A workspace with the product `plate` and its champion."""
    root = make_line(tmp_path_factory.mktemp("line"))
    (root / "data" / "plate").mkdir(parents=True)
    (root / "data" / "plate" / "product.yaml").write_text("algorithms: [padim]\n")
    return root


def board(root, **access) -> Client:
    app = create_app(find(root), Access(**access))
    return Client(app, "http://localhost:8090", ("127.0.0.1", 50000))


def tried(client: Client, content: bytes, **headers) -> httpx.Response:
    return client.post("/products/plate/try", content=content, headers={**OURS, **headers})


def test_it_tells_what_predict_tells_and_keeps_nothing(line):
    paths = [images(line)[0], images(line)[-1]]
    predicted = list(predict_images(locate(line, "plate"), paths, None, "cpu"))
    client, before = board(line), state(line)
    for path, expected in zip(paths, predicted, strict=True):
        answer = tried(client, path.read_bytes())
        assert answer.status_code == 200, answer.text
        told = answer.json()
        same = ("score", "threshold", "decision", "displayed", "displayed_text", "regions")
        wanted = json.loads(json.dumps({key: expected[key] for key in same}))
        assert {key: told[key] for key in same} == wanted
        shown = Image.open(io.BytesIO(base64.b64decode(told["image"])))
        assert list(shown.size) == told["size"] and max(shown.size) <= SHOWN
        assert Image.open(io.BytesIO(base64.b64decode(told["heat"]))).mode == "RGBA"
        assert bool(told["found"]) == (told["decision"] == "defect")
    assert state(line) == before


def test_the_champion_of_the_moment_decides_and_one_model_is_kept(line, tmp_path):
    root = shutil.copytree(line, tmp_path / "copy")
    warm, data = WarmChampion(find(root)), png(64, 64, 100)
    first = warm.inspect("plate", data, "image")["release"]
    held = warm._held
    assert warm.inspect("plate", data, "image")["release"] == first and warm._held is held
    store = store_of(find(root))
    (root / "made" / "more.txt").write_text("another release")
    second = publish(root / "made", "plate", store, About(algorithm="padim"))
    promote(store, "plate", second, reason="r", by="anna")
    assert second != first and warm.inspect("plate", data, "image")["release"] == second
    with pytest.raises(MissingError, match="no champion yet"):
        warm.inspect("bottle", data, "image")


@pytest.mark.parametrize(
    ("content", "headers", "status", "words"),
    [
        (b"", {}, 422, "the body is empty"),
        (b"GIF89a", {}, 415, "a GIF; export it as PNG"),
        (png(8, 8)[:-20], {}, 422, "damaged or truncated"),
        (png(8, 8), {"Content-Type": "text/plain"}, 415, "the file's bytes"),
        (png(8, 8), {"X-Inspectline": "x"}, 403, "the header"),
        (png(8, 8), {"Sec-Fetch-Site": "cross-site"}, 403, "another site"),
        (png(8, 8), {"Origin": "http://evil.example"}, 403, "evil.example"),
        (png(200, 200), {}, 422, "megapixels"),
    ],
)
def test_what_is_no_picture_or_comes_from_elsewhere_is_refused(
    line, monkeypatch, content, headers, status, words
):
    monkeypatch.setattr(trying, "LIMITS", trying.Settings(upload_mb=0.1, megapixels=0.01))
    answer = tried(board(line), content, **headers)
    assert answer.status_code == status and words in answer.json()["error"], answer.text


def test_it_needs_the_token_where_there_is_one_and_a_product(line):
    assert tried(board(line, token="secret"), png(8, 8)).status_code == 401
    answer = board(line).post("/products/plat/try", content=png(8, 8), headers=OURS)
    assert answer.status_code == 404 and "did you mean 'plate'" in answer.text


def test_uploads_beyond_a_few_wait_outside():
    places = trying.Places(1)
    with places.one(), pytest.raises(Refused, match="other pictures") as refused, places.one():
        pass
    assert refused.value.status == 503 and places.free == 1


@pytest.fixture
def root(line, tmp_path):
    """The workspace, with one defect and one good image."""
    made = shutil.copytree(line, tmp_path / "ws")
    for name, source in ((CRACK, images(line)[-1]), ("test/good/1.png", images(line)[0])):
        place = find(made).images("plate") / name
        place.parent.mkdir(parents=True)
        shutil.copy(source, place)
    return made


def asked(client, what="", image=CRACK):
    return client.get(f"/drawing/plate{what}", params={"image": image})


def pixels(answer):
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_a_page_gets_size_image_mask_and_what_is_found(root):
    client = board(root)
    assert asked(client).json() == {"width": 64, "height": 64, "mask": ""}
    assert pixels(asked(client, "/image")).shape == (64, 64, 3)
    assert asked(client, "/mask").status_code == 404
    found = pixels(asked(client, "/found"))
    assert found.shape == (64, 64) and found[30, 30] == 255 and found[2, 2] == 0
    told = set_mask(find(root), "plate", CRACK, as_png(found > 0), by="anna", reason="r")
    assert asked(client).json()["mask"] == told["after"]
    assert np.array_equal(pixels(asked(client, "/mask")), found)


def test_a_large_deep_image_is_shown_small_and_bright(root, monkeypatch):
    monkeypatch.setattr(drawing, "SIDE", SIDE)
    deep = np.full((500, 1000), 1023, np.uint16)  # white, for a camera of 10 bits
    Image.fromarray(deep).save(find(root).images("plate") / CRACK)
    client = board(root)
    assert asked(client).json()["width"] == 1000
    shown = pixels(asked(client, "/image"))
    assert max(shown.shape) == SIDE and shown.min() > 250


@pytest.mark.parametrize("what", ["", "/image", "/mask", "/found"])
def test_only_a_defect_of_the_product_is_given(root, what):
    client = board(root)
    for image in ("test/good/1.png", "../product.yaml", "/etc/passwd", "test/crack/2.png"):
        assert asked(client, what, image).status_code == 422
    assert asked(board(root, token="secret"), what).status_code == 401
