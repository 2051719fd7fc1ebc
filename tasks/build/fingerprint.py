"""Fingerprints of code, so that a change in it makes exactly the cells stale that it reaches.

The DVC stage `code` depends on the files that the steps and the algorithms in use reach, and writes
for each a hash of what the definitions it reaches mean. Cells depend on these small files.

- Definitions count, not files: a function that nothing calls, a function that moved, a file with
  another name change nothing. What a definition uses is found by the names in it.
- Its meaning is its syntax tree without docstrings, comments, annotations of functions, texts of
  errors and of `say`, and imports of our own packages.
- The rooms `workspace`, `spec`, `documents` and `build` are left out: they cannot change a result.
  What a cell reads of the spec stands in its recipe (spec/recipe.py). Raise FORMAT by hand where a
  change in these rooms does change a result.
"""

import ast
import hashlib
import json
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tasks.workspace.files import write_text
from tasks.workspace.home import cache_folder
from tasks.workspace.paths import PACKAGE, Workspace, find

FORMAT = 1
STEPS = ("validate", "pretrain", "fit", "evaluate")
LEFT_OUT = (
    *("tasks/workspace/", "tasks/spec/", "tasks/documents/", "tasks/build/"),
    "ad_models/errors.py",
)
OURS = ("ad_models", "tasks")
# Trees are shared by the threads of a process, and `_meaning` changes them
STRIPPING = threading.Lock()
ONLY_TYPES = ("typing", "collections.abc", "types")
Import = tuple[str, str]  # module, and the name that is imported from it; "": the module itself
Use = tuple[str, str]  # a name in the code, and the attribute that is taken of it, or ""


@dataclass
class SourceFile:
    """What one file defines, what it imports, and what it does when it is imported."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Import] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


@dataclass
class Reach:
    """All that an entry reaches in a package: `follow` takes one definition in."""

    package: Path
    files: dict[Path, None] = field(default_factory=dict)
    nodes: dict[tuple[Path, str], list[ast.stmt]] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)  # names that come from other packages
    sources: dict[Path, SourceFile] = field(default_factory=dict)  # as they were when first read
    modules: dict[Import, tuple[Path, bool]] = field(default_factory=dict)  # see `_file_of`

    def follow(self, path: Path, name: str = "") -> None:
        """Take in the definition `name` of a file, or all of it, and all that it uses."""
        queue = [(path, name)]
        while queue:
            queue += self._take(*queue.pop())

    def _take(self, path: Path, name: str) -> Iterator[tuple[Path, str]]:
        """Take in one definition; what it uses."""
        if (path, name) in self.nodes or path.as_posix().startswith(LEFT_OUT):
            return
        if path not in self.sources:
            self.sources[path] = _parsed((self.package / path).read_text())
        source = self.sources[path]
        if path.name == "__init__.py":  # a table of contents: a line more changes no other
            if name in source.imports:
                yield from self._imported(source.imports[name], "")
            return
        if path not in self.files:
            self.files[path] = None
            yield from self._add(path, "", source.effects, source)
        if name in source.definitions:
            yield from self._add(path, name, source.definitions[name], source)
        elif name in source.imports:
            yield from self._imported(source.imports[name], "")
        else:  # the module itself, or a name that it makes in some other way
            yield from ((path, each) for each in source.definitions)

    def _add(
        self, path: Path, name: str, nodes: list[ast.stmt], source: SourceFile
    ) -> Iterator[tuple[Path, str]]:
        self.nodes[path, name] = nodes
        inner = {k: v for node in nodes for k, v in _imports_inside(node)}
        for used, attribute in {use for node in nodes for use in _uses_of(node)}:
            if known := inner.get(used) or source.imports.get(used):
                yield from self._imported(known, attribute)
            elif used in source.definitions:
                yield path, used

    def _imported(self, known: Import, attribute: str) -> Iterator[tuple[Path, str]]:
        module, name = known
        if module.split(".")[0] not in OURS:
            if module not in ONLY_TYPES:
                self.libraries.add(f"{module}.{name}")
            return
        if known not in self.modules:
            self.modules[known] = self._file_of(module, name)
        path, is_module = self.modules[known]
        yield path, attribute if is_module else name or attribute

    def _file_of(self, module: str, name: str) -> tuple[Path, bool]:
        """The file that an import reads, and whether `name` is that file and not a name in it."""
        folder = Path(*module.split("."))
        if (self.package / folder / f"{name}.py").is_file():
            return folder / f"{name}.py", True
        if (self.package / folder).is_dir():
            return folder / "__init__.py", False
        return folder.with_suffix(".py"), False


def entry(name: str) -> Path:
    """The file at which a step or an algorithm begins, relative to the package's folder."""
    return Path("tasks" if name in STEPS else "ad_models/algorithms") / f"{name}.py"


def reached(name: str, package: Path = PACKAGE) -> Reach:
    """All that a step or an algorithm reaches."""
    found = Reach(package)
    found.follow(entry(name))
    return found


def closure(*names: str, package: Path = PACKAGE) -> list[Path]:
    """The files with a definition that one of these reaches, sorted, relative to `package`."""
    known = _known(names, package).values()
    return [Path(path) for path in sorted({path for one in known for path in one.files})]


def fingerprint(name: str, package: Path = PACKAGE) -> str:
    """sha256 of the meanings of all definitions that `name` reaches, wherever they stand."""
    return _known([name], package)[name].fingerprint


class Known(NamedTuple):
    fingerprint: str
    files: list[str]  # relative to the package


def _known(names: Sequence[str], package: Path) -> dict[str, Known]:
    """Fingerprints and files of these names. To parse the code takes each process that asks a tenth
    of a second for each: what was found is kept in the user's cache, by the content of the whole
    package."""
    cache, content = cache_folder() / "fingerprints.json", _content(package)
    known = _kept(cache, content)
    if missing := [name for name in names if name not in known]:
        for name in missing:
            found = reached(name, package)
            known[name] = Known(digest(found), [path.as_posix() for path in found.files])
        if _content(package) == content:  # nothing was edited while it was read
            kept = {"content": content, "found": {n: k._asdict() for n, k in known.items()}}
            with suppress(OSError):  # a home that is full or cannot be written
                cache.parent.mkdir(parents=True, exist_ok=True)
                write_text(cache, json.dumps(kept))
    return {name: known[name] for name in names}


def _kept(cache: Path, content: str) -> dict[str, Known]:
    """What the cache holds of code with this content; nothing where it has another form."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        kept = json.loads(cache.read_text())
        if kept["content"] == content:
            return {  # "" +: a TypeError where it is no text
                name: Known("" + one["fingerprint"], ["" + file for file in one["files"]])
                for name, one in kept["found"].items()
            }
    return {}


def _content(package: Path) -> str:
    """sha256 of all sources of a package, by their places, and of Python's version: a syntax tree
    is written in another way by another one."""
    made = hashlib.sha256(sys.version.encode())
    for path in sorted(path for room in OURS for path in (package / room).rglob("*.py")):
        text = path.read_bytes()
        made.update(f"{path.relative_to(package)} {len(text)}\n".encode() + text)
    return made.hexdigest()


def digest(found: Reach) -> str:
    """sha256 of the meanings of all definitions in it."""
    with STRIPPING:
        meanings = {_meaning(node) for nodes in found.nodes.values() for node in nodes}
    parts = json.dumps([FORMAT, sorted(meanings), sorted(found.libraries)])
    return hashlib.sha256(parts.encode()).hexdigest()


@cache
def _parsed(text: str) -> SourceFile:
    source = SourceFile()
    for node in ast.parse(text).body:
        targets: list[ast.expr] = []
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                source.definitions.setdefault(node.name, []).append(node)
            case ast.Import() | ast.ImportFrom():
                source.imports |= dict(_imports(node))
            case ast.Assign():
                targets = node.targets
            case ast.AnnAssign():
                targets = [node.target]
            case ast.If() if ast.unparse(node.test) == "TYPE_CHECKING":
                source.imports |= {k: v for n in node.body for k, v in _imports(n)}
            case ast.If() if "__name__" in ast.unparse(node.test):
                pass
            case _:
                source.effects.append(node)
        names = [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]
        for name in names:
            source.definitions.setdefault(name, []).append(node)
    return source


def _imports(node: ast.AST) -> Iterator[tuple[str, Import]]:
    """Each name that an import statement brings in, and where from."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.split(".")[0], (alias.name, "")
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            yield alias.asname or alias.name, (node.module, alias.name)


@cache
def _imports_inside(node: ast.stmt) -> list[tuple[str, Import]]:
    return [found for inner in ast.walk(node) for found in _imports(inner)]


@cache
def _uses_of(node: ast.stmt) -> frozenset[Use]:
    return frozenset(_uses(node))


def _uses(node: ast.AST) -> Iterator[Use]:
    """The names in a piece of code, also those in annotations that are texts."""
    match node:
        case ast.Name():
            yield node.id, ""
        case ast.Attribute(value=ast.Name(id=base)):
            yield base, node.attr
        case ast.Constant(value=str(text)) if re.fullmatch(r"[\w.\[\], |]{1,80}", text):
            for name in re.findall(r"[A-Z]\w+", text):
                yield name, ""
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _uses(child)


@cache
def _meaning(node: ast.stmt) -> str:
    """sha256 of a definition without what only a reader sees. It is taken out of the node itself: a
    copy would take half of the time, and what the node uses has been found before."""
    stripped = _Stripped().visit(node)
    return hashlib.sha256((ast.dump(stripped) if stripped else "").encode()).hexdigest()


class _Stripped(ast.NodeTransformer):
    """Takes docstrings, annotations, texts of errors and of `say`, and our own imports out."""

    def __init__(self) -> None:
        self.inside = False  # a function, where an annotation means nothing

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        before, self.inside = self.inside, True
        node.returns = None
        self.generic_visit(node)
        self.inside = before
        node.body = node.body or [ast.Pass()]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self.inside = self.inside, False
        self.generic_visit(node)
        self.inside = before
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if not self.inside:
            return node
        return node.value and ast.Assign([node.target], node.value, lineno=node.lineno)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        node.exc = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        node.cause = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        self.generic_visit(node)
        match node.value:
            case ast.Constant(value=str()):
                return None
            case ast.Call(func=ast.Attribute(attr="say")):  # a text for a person
                return ast.Pass()
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        return None if node.names[0].name.split(".")[0] in OURS else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if (node.module or "").split(".")[0] in OURS else node


def write_fingerprints(workspace: Workspace, names: list[str]) -> None:
    """Write the fingerprints of these steps and algorithms into the workspace."""
    known = _known(names, PACKAGE)
    for name in names:
        path = workspace.root / "data" / ".code" / f"{name}.json"
        write_text(path, content(known[name].fingerprint))


def content(fingerprint: str) -> str:
    """The text of a fingerprint's file."""
    return json.dumps({"format": FORMAT, "fingerprint": fingerprint}, indent=1) + "\n"


if __name__ == "__main__":
    write_fingerprints(find(), sys.argv[1:])
