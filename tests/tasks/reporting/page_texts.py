"""The English texts that templates and scripts hold, without rendering a page."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from jinja2 import nodes

from tasks.reporting.page import TEMPLATES, templates
from tasks.web.board.pages import TEMPLATES as BOARD

VALUE = "7"  # stands for whatever a page puts there
ATTRIBUTES = ("title", "aria-label", "placeholder", "data-name")
ASIDE = {"script", "style", "code", "pre", "kbd", "textarea", "datalist"}
EMPTY = {"br", "img", "input", "meta", "link", "hr", "path", "polyline", "circle", "rect"}
PARTS = {  # of texts that are put together, or names: what a page shows of them is another text
    *("7 7, 7, AUROC 7", "7 AUROC 7 · miss 7 · overkill 7 · made with 7", "against 7"),
    *("Last decision of the 7", "inspectline", "scratch", ", 7 were there already", ", ended well"),
    *(", ended with exit code 7", "7 7 for a run, because something was changed", "7 so far7"),
    "7 is called 77.7 The change is written into corrections.yaml and applies from the next run "
    "on; the file is not moved.",
    *("7. It applies from the next run on: inspectline run -p 7", "This page still shows it as 7."),
    *("Done: 7. It is recorded in the history.7", "header nav a, .tabs a", "use strict"),
    *("It applies from the next run on: inspectline run -p 7", "input, select, textarea"),
    "What is out of date is validated, trained, evaluated and weighed by the gate: inspectline "
    "run7",
}
OTHER = {"audit.html.j2", "model_card.md.j2"}  # documents of their own
WORDS = re.compile(r"[A-Za-z]{2}")
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')


def template_texts() -> set[str]:
    """Texts and attributes of the pages' templates."""
    found: set[str] = set()
    for folder in (TEMPLATES, BOARD):
        for path in folder.glob("*.html.j2"):
            if path.name in OTHER:
                continue
            tree = templates().parse(path.read_text("utf-8"))
            for first in (True, False):
                reader = Reader()
                reader.feed("".join(stream(tree, first)))
                reader.close()
                found |= reader.found
            found |= set(handed_over(tree))
    return {text for text in found if WORDS.search(text)} - PARTS


def stream(node: Any, first: bool) -> Iterator[str]:
    """The text of a template, with the first or the second branch of each choice."""
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Const):
        yield str(node.value)
    elif isinstance(node, nodes.CondExpr):
        chosen = node.expr1 if first else node.expr2
        yield from stream(chosen, first) if chosen is not None else ()
    elif isinstance(node, nodes.Concat):
        for each in node.nodes:
            yield from stream(each, first)
    elif isinstance(node, nodes.If):
        branch = node.body if first else (node.elif_[:1] or node.else_)
        for each in branch:
            yield from stream(each, first)
    elif isinstance(node, nodes.Output | nodes.For | nodes.Macro | nodes.Template):
        for each in node.nodes if isinstance(node, nodes.Output) else node.body:
            yield from stream(each, first)
    elif isinstance(node, nodes.Expr):
        yield VALUE


def handed_over(tree: nodes.Template) -> Iterator[str]:
    """Texts that a template hands to a macro, or lists for a loop."""
    for holder in [*tree.find_all(nodes.For), *tree.find_all(nodes.Call)]:
        inside = [holder.iter] if isinstance(holder, nodes.For) else holder.args
        for each in inside:
            for const in (
                each.find_all(nodes.Const) if not isinstance(each, nodes.Const) else [each]
            ):
                value = const.value
                if isinstance(value, str) and re.match(r"[A-Z][a-z]|[a-z]+,? [a-z(]", value):
                    yield value.replace("%s", VALUE).replace("%%", "%")


class Reader(HTMLParser):
    """Collects what a person reads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.aside: list[tuple[str, bool]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.flush()
        known = dict(attrs)
        named = known.get("translate") == "no" or any(aside for _, aside in self.aside)
        if not named:
            self.found |= {clean(known[a] or "") for a in ATTRIBUTES if a in known}
        hidden = named or tag in ASIDE or "path" in (known.get("class") or "").split()
        if tag not in EMPTY:
            self.aside.append((tag, hidden))

    def handle_endtag(self, tag: str) -> None:
        self.flush()
        while self.aside and tag in [one for one, _ in self.aside]:
            if self.aside.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        self.text += data

    def close(self) -> None:
        super().close()
        self.flush()

    def flush(self) -> None:
        if not any(aside for _, aside in self.aside):
            self.found.add(clean(self.text))
        self.text = ""


LEFT = """(() => {
    const aside = "script, style, noscript, code, pre, kbd, textarea, datalist, .path";
    const kept = (node) => node?.closest(`${aside}, [translate=no]`);
    const english = (text) => /[A-Za-z]{2}/.test(text) && !/[\\u4e00-\\u9fff]/.test(text);
    const found = [];
    const walk = (root) => {
        const nodes = document.createTreeWalker(root);
        for (let node = nodes.currentNode; node; node = nodes.nextNode()) {
            if (kept(node.parentElement)) continue;
            if (node.nodeType === Node.TEXT_NODE) found.push(node.data);
            if (node.nodeType !== Node.ELEMENT_NODE) continue;
            for (const name of ["aria-label", "placeholder", "data-name"])
                if (!kept(node)) found.push(node.getAttribute(name) ?? "");
            if (node.localName === "template") walk(node.content);
        }
    };
    walk(document.body);
    return [...new Set(found.filter(english).map((text) => text.trim()))];
})()"""  # the texts of a page in Chinese that are still English


def clean(text: str) -> str:
    return " ".join(text.split())


def script_texts() -> set[str]:
    """Literals of scripts that read as sentences."""
    found = set()
    for folder in (TEMPLATES, BOARD):
        for path in folder.glob("*.js"):
            text = re.sub(r"^\s*//.*$|\s// .*$", "", path.read_text("utf-8"), flags=re.M)
            for plain, template in LITERAL.findall(text):
                said = clean(without_values(template) if template else plain)
                if re.search(r"[a-z]{2},? [a-z(]|[A-Z][a-z]+ ", said) and not re.search(
                    r"[\[\]#<>=$\\|]|^\.|^:", said
                ):
                    found.add(said)
    return found - PARTS


def without_values(template: str) -> str:
    """A template literal with VALUE for each of its values."""
    found, depth = "", 0
    at = 0
    while at < len(template):
        if template.startswith("${", at):
            found += VALUE if depth == 0 else ""
            depth += 1
            at += 2
        elif depth and template[at] in "{}":
            depth += 1 if template[at] == "{" else -1
            at += 1
        else:
            found += template[at] if depth == 0 else ""
            at += 1
    return found
