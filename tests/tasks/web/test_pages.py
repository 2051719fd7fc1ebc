"""The service says what it is, in pages that need nothing from anywhere."""

import re

import httpx
import pytest

from tasks.documents.result import Verdict
from tasks.store.opening import source_of
from tasks.web.serving.app import create_app
from tasks.web.serving.pages import LINKS, docs_page
from tasks.web.serving.upload import Settings
from tests.flows.releases import made_release
from tests.tasks.web import listeners


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from tasks.models.served import Served

    return Served(*source_of(made_release(tmp_path_factory.mktemp("line")).root, "plate"), "cpu")


@pytest.fixture(scope="module")
def client(served):
    with (
        listeners.served(create_app([served], Settings())) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def test_the_front_page_links_to_what_is_there(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "POST /products/plate/inspect" in page.text
    assert set(re.findall(r'href="(.+?)"', page.text)) == set(LINKS)
    assert all(client.get(path).status_code == 200 for path in LINKS)


def test_the_documentation_tells_every_key_and_loads_nothing(client):
    page = client.get("/docs").text
    assert set(Verdict.model_fields) | {"heat_map", "error", "regions[].box"} <= set(
        re.findall(r"<code>(.+?)</code>", page)
    )
    assert "header: x-part-id" in page and "image/tiff" in page
    assert "default-src 'none'" in page and "<script" not in page and "http://" not in page


def test_the_document_for_programs_is_what_the_service_does(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/healthz", "/metrics", "/products", "/products/{product}/inspect"}
    inspect = paths["/products/{product}/inspect"]["post"]
    assert {one["name"] for one in inspect["parameters"]} == {
        *("product", "heat_map", "part", "x-part-id")
    }
    assert set(inspect["responses"]) == {"200", "4XX", "5XX"}


def test_pages_are_as_private_as_all_else(served):
    with (
        listeners.served(create_app([served], Settings(), token="secret")) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        assert {client.get(path).status_code for path in ("/", "/docs", "/openapi.json")} == {401}


def test_text_of_the_document_is_no_html():
    info = {"title": "<b>", "version": "1", "description": "<script>"}
    assert "<script>" not in docs_page({"info": info, "paths": {}})
