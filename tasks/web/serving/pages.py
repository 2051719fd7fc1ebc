"""Pages of the service, made here: those of FastAPI load their scripts from the internet.

They hold no script, no style and no picture, which their policy then forbids.
"""

from collections.abc import Iterator
from html import escape
from typing import Any

POLICY = "default-src 'none'"
LINKS = {
    "/docs": "how to ask it, for people",
    "/openapi.json": "the same for programs",
    "/products": "the products, and which release inspects each",
    "/metrics": "figures for Prometheus",
    "/healthz": "whether all is well",
}


def page(title: str, body: str) -> str:
    """An HTML page; body: its content in HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(title)}</title></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def front_page(version: str, products: list[str]) -> str:
    """What the service is, and where to go from here."""
    links = "".join(f'<li><a href="{path}">{path}</a>: {what}</li>' for path, what in LINKS.items())
    asks = "".join(f"<li><code>POST {escape(inspect_path(one))}</code></li>" for one in products)
    text = "<p>It inspects images of products: send one as the body of a POST to</p>"
    return page(f"inspectline {version}", f"{text}<ul>{asks}</ul><ul>{links}</ul>")


def inspect_path(product: str) -> str:
    return f"/products/{product}/inspect"


def docs_page(api: dict[str, Any]) -> str:
    """Every request of an OpenAPI document: what it takes, and what it answers."""
    parts = [
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>{operation(one, api)}"
        for path, methods in api["paths"].items()
        for method, one in methods.items()
    ]
    about = f"<p>{escape(api['info'].get('description', ''))}</p>"
    return page(f"{api['info']['title']} {api['info']['version']}", about + "".join(parts))


def operation(one: dict[str, Any], api: dict[str, Any]) -> str:
    """One request of the document."""
    said = f"<p>{escape(one.get('description', ''))}</p>"
    asked = [
        (f"{given['in']}: {given['name']}", given.get("description", ""))
        for given in one.get("parameters", [])
    ]
    body = one.get("requestBody", {})
    asked += [("body", f"{body['description']} ({', '.join(body['content'])})")] if body else []
    return said + table("It takes", asked) + "".join(answers(one, api))


def answers(one: dict[str, Any], api: dict[str, Any]) -> Iterator[str]:
    """A table for each kind of answer that is JSON of known keys."""
    for status, answer in one["responses"].items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
        if rows := [(key, said) for key, said in keys_of(schema, api)]:
            yield table(f"It answers {status}", rows)


def keys_of(schema: dict[str, Any], api: dict[str, Any], above: str = "") -> Iterator[Any]:
    """Key and description of all that a schema names, parts of parts too."""
    if "$ref" in schema:
        schema = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for key, about in schema.get("properties", {}).items():
        yield f"{above}{key}", about.get("description", "")
        yield from keys_of(about.get("items", {}), api, f"{above}{key}[].")


def table(title: str, rows: list[tuple[str, str]]) -> str:
    """A table of two columns; nothing without rows."""
    lines = "".join(
        f"<tr><td><code>{escape(key)}</code></td><td>{escape(said)}</td></tr>" for key, said in rows
    )
    return f"<h3>{escape(title)}</h3><table>{lines}</table>" if rows else ""
