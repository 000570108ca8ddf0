"""Who may import whom: the design's table of floors, held as data, against every import of the package.

Imports inside functions and under ``TYPE_CHECKING`` count as any other, and so does ``import_module("modelserve...")``.
A file no row covers is an error, so that whoever adds one says where it stands.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "modelserve"


class Row(NamedTuple):
    """What some modules may import: ``ours`` and ``holds`` are modules, each with all that is below it."""

    floor: int
    holds: tuple[str, ...]
    ours: tuple[str, ...]
    third: tuple[str, ...]
    never: tuple[str, ...] = ()


WORDS = (
    "modelserve.errors",
    "modelserve.logs",
    "modelserve.metrics",
    "modelserve.messages",
    "modelserve.frames",
    "modelserve.buffers",
    "modelserve.names",
    "modelserve.held",
    "modelserve.gpu_errors",
    "modelserve.private_folder",
    "modelserve.text",
    "modelserve.exact",
    "modelserve.supervised",
    "modelserve.stalls",
    "modelserve.regular_files",
    "modelserve.removal",
    "modelserve.json_reason",
    "modelserve.file_threads",
    "modelserve.threads",
    "modelserve.strict_json",
    "modelserve.body",
    "modelserve.tracebacks",
    "modelserve.installed",
)
PROMISES = (
    "modelserve.settings",
    "modelserve.carrying",
    "modelserve.discovery",
    "modelserve.elsewhere",
    "modelserve.loading",
    "modelserve.control",
    "modelserve.tracing",
)
MACHINERY = ("modelserve.runtime", "modelserve.jobs")
DOORS = ("modelserve.web", "modelserve.doors")
HOUSE = (
    "modelserve.keeping_logs",
    "modelserve.server",
    "modelserve.serving",
    "modelserve.listening",
    "modelserve.certificate",
    "modelserve.open_files",
)
ACCESS = (
    "modelserve.access.client",
    "modelserve.access.keeping",
    "modelserve.access.roll",
    "modelserve.access.throttle",
    "modelserve.access.token",
)
FOR_DOORS = ("modelserve.runtime.fleet", "modelserve.runtime.interface", "modelserve.jobs", *ACCESS)
ROOT = ("modelserve",)

# The first row that covers a module is the one that counts, so the narrow rows stand before the wide ones.
TABLE = (
    Row(0, ("modelserve.__init__",), (), ()),
    Row(1, ("modelserve.file_threads",), ("modelserve.errors", "modelserve.threads"), ()),
    Row(1, ("modelserve.installed",), ("modelserve.errors",), ()),
    Row(1, ("modelserve.strict_json",), ("modelserve.errors", "modelserve.json_reason"), ("msgspec",)),
    Row(1, ("modelserve.body",), ("modelserve.errors", "modelserve.strict_json"), ()),
    Row(1, ("modelserve.tracebacks",), ("modelserve.errors",), ()),
    Row(1, ("modelserve.frames",), ("modelserve.messages", "modelserve.buffers"), ("msgspec",)),
    Row(1, ("modelserve.logs",), ("modelserve.logs", "modelserve.supervised", "modelserve.held"), ()),
    Row(1, ("modelserve.metrics",), ("modelserve.metrics", "modelserve.messages"), ("prometheus_client",)),
    Row(1, WORDS, (), ("msgspec",)),
    Row(2, ("modelserve.tracing",), (*ROOT, "modelserve.logs"), ("opentelemetry",)),
    Row(2, ("modelserve.control",), WORDS, ()),
    Row(2, ("modelserve.settings",), (*WORDS, "modelserve.settings"), ()),
    Row(2, ("modelserve.elsewhere",), WORDS, ("msgspec",)),
    Row(2, ("modelserve.loading",), (*WORDS, "modelserve.discovery", "modelserve.deepaas"), ("dill",)),
    Row(2, ("modelserve.deepaas",), (*WORDS, "modelserve.v2", "modelserve.deepaas"), ("msgspec",)),
    Row(2, ("modelserve.carrying",), (), ("dill",)),
    Row(2, ("modelserve.discovery",), (*ROOT, *WORDS, "modelserve.elsewhere", "modelserve.carrying"), ("msgspec",)),
    Row(
        2,
        ("modelserve.v2.describe",),
        (*WORDS, "modelserve.v2"),
        ("msgspec", "orjson", "marshmallow", "webargs", "apispec"),
        never=("asyncio", "multiprocessing"),
    ),
    Row(
        2,
        ("modelserve.v2",),
        (*WORDS, "modelserve.v2"),
        ("msgspec", "orjson", "marshmallow", "webargs", "numpy"),
        never=("asyncio", "multiprocessing"),
    ),
    Row(
        3,
        (
            "modelserve.runtime.worker",
            "modelserve.runtime.entry",
            "modelserve.runtime.intake",
            "modelserve.runtime.turns",
            "modelserve.runtime.together",
            "modelserve.runtime.training",
            "modelserve.runtime.traced",
        ),
        (*ROOT, *WORDS, *PROMISES, "modelserve.v2", *MACHINERY),
        ("msgspec", "dill"),
    ),
    Row(
        3,
        ("modelserve.runtime.describing",),
        ("modelserve.messages", "modelserve.runtime.interface"),
        ("msgspec", "orjson"),
    ),
    Row(3, ("modelserve.runtime.nvml",), ("modelserve.runtime.machine",), ("pynvml",)),
    Row(
        3,
        ("modelserve.batch",),
        (*ROOT, *WORDS, "modelserve.runtime.fleet", "modelserve.runtime.interface", "modelserve.batch"),
        ("msgspec", "orjson", "pyarrow"),
    ),
    Row(
        3,
        ("modelserve.access.client", "modelserve.access.roll", "modelserve.access.throttle", "modelserve.access.token"),
        (*WORDS, *ACCESS),
        (),
    ),
    Row(
        3,
        ("modelserve.access",),
        (*ROOT, *WORDS, "modelserve.settings", "modelserve.jobs", "modelserve.access"),
        ("msgspec", "sqlalchemy"),
    ),
    Row(
        3,
        ("modelserve.jobs",),
        (*ROOT, *WORDS, "modelserve.settings", "modelserve.discovery", "modelserve.tracing", *MACHINERY),
        ("msgspec", "sqlalchemy", "alembic", "platformdirs", "psycopg"),
    ),
    Row(
        3,
        MACHINERY,
        (*ROOT, *WORDS, "modelserve.settings", "modelserve.discovery", *MACHINERY),
        ("msgspec", "dill"),
    ),
    Row(
        4,
        DOORS,
        (*ROOT, *WORDS, *PROMISES, *FOR_DOORS, *DOORS),
        ("aiohttp", "multidict", "yarl", "msgspec", "orjson", "prometheus_client"),
    ),
    Row(
        5,
        HOUSE,
        (*ROOT, *WORDS, *PROMISES, *MACHINERY, "modelserve.access", *DOORS, *HOUSE),
        ("aiohttp", "uvloop", "dill", "prometheus_client"),
    ),
    Row(6, ("modelserve.__main__",), ("modelserve.cli",), ()),
    Row(
        6,
        ("modelserve.cli",),
        (
            *ROOT,
            *WORDS,
            *PROMISES,
            *MACHINERY,
            *DOORS,
            *HOUSE,
            "modelserve.access",
            "modelserve.batch",
            "modelserve.cli",
        ),
        ("aiohttp", "yarl", "click", "rich", "msgspec", "orjson", "uvloop", "watchfiles"),
    ),
    Row(6, ("modelserve.client",), (*ROOT, *WORDS), ("aiohttp", "msgspec", "orjson")),
    Row(
        6,
        ("modelserve.testing",),
        (*ROOT, *WORDS, *PROMISES, *MACHINERY, *DOORS, *HOUSE, "modelserve.testing"),
        ("aiohttp", "pytest", "pytest_asyncio", "msgspec"),
    ),
)

# Loaded only inside functions: a model without arrays must not pay for them.
LATE = {"numpy", "pyarrow", "pynvml"}

# ``modelserve.serve`` is found by the package's ``__getattr__``: the one import upwards, and the one that is lazy so
# that ``import modelserve`` loads no server. It is no edge of the graph of cycles either.
EXCEPTIONS = {("modelserve.__init__", "modelserve.serving")}


class Import(NamedTuple):
    """One import statement: who, whom, on which line, and whether it runs when the module is loaded."""

    importer: str
    imported: str
    line: int
    late: bool


class Tree:
    """The modules of one package on disk and the imports between them."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.files = {self._module(path, folder): path for path in sorted(folder.rglob("*.py"))}

    @staticmethod
    def _module(path: Path, folder: Path) -> str:
        return ".".join((folder.name, *path.relative_to(folder).with_suffix("").parts))

    def imports(self) -> Iterator[Import]:
        """Yield every import of every module."""
        for module, path in self.files.items():
            source = ast.parse(path.read_text(), filename=str(path))
            at_load = {id(node) for node in _outside_functions(source)}
            for node in ast.walk(source):
                for imported in self._imported(module, node):
                    yield Import(module, imported, getattr(node, "lineno", 0), id(node) not in at_load)

    def _imported(self, module: str, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (self._whole(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._base(module, node)
            yield from (self._member(base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import_call(node.func):
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield self._whole(argument.value)

    def _base(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        above = module.split(".")[: -node.level]
        return ".".join((*above, *(node.module or "").split("."))).rstrip(".")

    def _whole(self, name: str) -> str:
        return f"{name}.__init__" if f"{name}.__init__" in self.files else name

    def _member(self, base: str, name: str) -> str:
        """Return the module that ``from base import name`` reads: a submodule of that name where there is one."""
        if f"{base}.{name}" in self.files or f"{base}.{name}.__init__" in self.files:
            return self._whole(f"{base}.{name}")
        return self._whole(base)


def _is_import_call(called: ast.expr) -> bool:
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name in {"import_module", "__import__"}


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not _is_type_checking(child):
            yield from _outside_functions(child)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _covers(holders: tuple[str, ...], module: str) -> bool:
    """Tell whether one of ``holders`` is the module or a package around it; the root alone covers only itself."""
    return any(
        module in (holder, f"{holder}.__init__") or (holder != "modelserve" and module.startswith(f"{holder}."))
        for holder in holders
    )


def _row(module: str) -> Row | None:
    return next((row for row in TABLE if _covers(row.holds, module)), None)


def complaints(tree: Tree) -> list[str]:
    """Return one sentence for each import, and each file, that the table does not allow."""
    unknown = [
        f"{module} stands in no row of the table of floors: add it to one" for module in tree.files if not _row(module)
    ]
    return unknown + [sentence for found in tree.imports() for sentence in _wrong(found, tree.name)]


def _wrong(found: Import, package: str) -> Iterator[str]:
    row = _row(found.importer)
    if row is None or (found.importer, found.imported) in EXCEPTIONS:
        return
    top = found.imported.split(".")[0]
    where = f"{found.importer}, line {found.line} (floor {row.floor})"
    if top == package:
        if not _covers(row.ours, found.imported):
            yield f"{where} may not import {found.imported}"
    elif top in row.never or (top not in sys.stdlib_module_names and top not in row.third):
        yield f"{where} may not import {found.imported}"
    elif top in LATE and not found.late:
        yield f"{where} may import {found.imported} only inside a function"


def cycle(tree: Tree) -> list[str]:
    """Return the modules of one import cycle, the first repeated at its end, or nothing where there is none."""
    edges: dict[str, set[str]] = {module: set() for module in tree.files}
    for found in tree.imports():
        if found.imported in edges and (found.importer, found.imported) not in EXCEPTIONS:
            edges[found.importer].add(found.imported)
    done: set[str] = set()
    for module in edges:
        if found_cycle := _walk(module, edges, [], done):
            return found_cycle
    return []


def _walk(module: str, edges: dict[str, set[str]], way: list[str], done: set[str]) -> list[str]:
    if module in way:
        return [*way[way.index(module) :], module]
    if module in done:
        return []
    for imported in sorted(edges[module]):
        if found := _walk(imported, edges, [*way, module], done):
            return found
    done.add(module)
    return []


def test_every_import_of_the_package_is_allowed_by_the_table() -> None:
    assert complaints(Tree(PACKAGE)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert " -> ".join(cycle(Tree(PACKAGE))) == ""


def test_the_rows_name_a_floor_each_and_never_allow_a_higher_one() -> None:
    for row in TABLE:
        floors = [other.floor for other in TABLE if any(_covers(row.ours, held) for held in other.holds)]
        assert all(floor <= row.floor for floor in floors), row


def make(tmp_path: Path, **files: str) -> Tree:
    """Write a package ``modelserve`` of these modules; ``__`` in a name stands for a folder."""
    folder = tmp_path / "modelserve"
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(folder)


HIDDEN = {
    "in a function": "def f() -> None:\n    import aiohttp.web\n",
    "for type checkers only": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from aiohttp import web\n",
    "by its name": "import importlib\nimportlib.import_module('aiohttp')\n",
    "upwards": "from modelserve.web import app\n",
    "upwards by its name": "def f() -> None:\n    __import__('modelserve.web.app')\n",
    "relatively": "from ..web import app\n",
    "from the standard library": "import multiprocessing.connection\n",
    "a late one early": "import numpy as np\n",
}


@pytest.mark.parametrize("source", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_forbidden_import_is_found(tmp_path: Path, source: str) -> None:
    tree = make(tmp_path, v2__model=source, web__app="")
    assert len(complaints(tree)) == 1
    assert "modelserve.v2.model, line" in complaints(tree)[0]


def test_a_late_import_inside_a_function_is_allowed(tmp_path: Path) -> None:
    assert complaints(make(tmp_path, v2__fields="def f() -> None:\n    import numpy\n")) == []


def test_only_the_worker_runs_the_contract(tmp_path: Path) -> None:
    source = "from modelserve.v2.answers import Renderer\n"
    tree = make(tmp_path, v2__answers="", runtime__worker=source, runtime__process=source, web__app=source)
    assert [text.split(",")[0] for text in complaints(tree)] == ["modelserve.runtime.process", "modelserve.web.app"]


def test_a_file_outside_the_table_is_found(tmp_path: Path) -> None:
    assert "modelserve.helpers stands in no row" in complaints(make(tmp_path, helpers=""))[0]


def test_a_cycle_hidden_in_a_function_is_found(tmp_path: Path) -> None:
    one, two = "from modelserve.v2 import two\n", "def f() -> None:\n    from .one import x\n"
    circle = ["modelserve.v2.one", "modelserve.v2.two", "modelserve.v2.one"]
    assert cycle(make(tmp_path, v2__one=one, v2__two=two)) == circle
