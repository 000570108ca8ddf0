"""The page of promises is true to the tests: each that it names exists, and says of which rows it is.

docs/explanation/reliability.md: | D01, D02 | promise | `path::name`<br>`path::name` |

And no row is forgotten that a test is about.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "explanation" / "reliability.md"

ROW = re.compile(r"\b(?:[A-R]\d\d|[XY]\d\d?)\b")
SPAN = re.compile(r"\b([A-R])(\d\d) to \1(\d\d)\b")
TEST = re.compile(r"`([\w/]+\.py)::([\w:]+)`")
Function = ast.FunctionDef | ast.AsyncFunctionDef

TEST_FILES = re.compile(r"(test_\w+|\w+_contract)\.py")


class Promise(NamedTuple):
    """One line of the page's tables: the rows it is about, the promise, and tests as (path, name)."""

    rows: frozenset[str]
    text: str
    tests: tuple[tuple[str, str], ...]


def promises() -> list[Promise]:
    lines = [
        line.strip("| ").split(" | ")
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| (?:[A-R]\d|[XY]\d)", line)
    ]
    return [Promise(rows_of(rows), text, tuple(TEST.findall(tests))) for rows, text, tests in lines]


def rows_of(text: str) -> frozenset[str]:
    """Return the rows that a text names: each by itself, and as "A08 to A10"."""
    spans = (f"{group}{n:02}" for group, first, last in SPAN.findall(text) for n in range(int(first), int(last) + 1))
    return frozenset(ROW.findall(text)) | frozenset(spans)


@cache
def told(path: Path) -> dict[str, frozenset[str]]:
    """Return, by its name, of which rows each test of a file says it is."""
    return {name: rows_of(ast.get_docstring(test) or "") for name, test in found_in(ast.parse(path.read_text()), "")}


def found_in(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Function]]:
    for each in node.body:
        if isinstance(each, ast.ClassDef):
            yield from found_in(each, f"{each.name}::")
        elif isinstance(each, Function) and each.name.startswith("test_"):
            yield f"{prefix}{each.name}", each


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: "-".join(sorted(promise.rows)))
def test_each_promise_has_tests_that_say_so(promise: Promise) -> None:
    """Each of its tests names one of its rows, and each of its rows is named by one of them."""
    assert promise.text.endswith(".")
    named = [told(REPOSITORY / path)[name] for path, name in promise.tests]
    assert named
    assert all(rows & promise.rows for rows in named)
    assert promise.rows <= frozenset[str]().union(*named)


def test_no_row_that_a_test_is_about_is_forgotten() -> None:
    promised = frozenset[str]().union(*(promise.rows for promise in promises()))
    files = [path for path in (REPOSITORY / "tests").rglob("*.py") if TEST_FILES.fullmatch(path.name)]
    kept = frozenset[str]().union(*(rows for path in files for rows in told(path).values()))
    assert kept - promised == set()


def test_the_groups_are_in_the_page_with_all_their_rows() -> None:
    """Those of what clients send, connections, tokens, browsers and logs are promised whole."""
    promised = {row for promise in promises() for row in promise.rows}
    whole = {"D": 27, "E": 13, "K": 14, "L": 9, "N": 7}
    assert {f"{group}{n:02}" for group, count in whole.items() for n in range(1, count + 1)} <= promised


@pytest.mark.parametrize("group", ["X", "Y"])
def test_each_row_stands_once_and_in_the_order_of_its_number(group: str) -> None:
    """In the sections of attacks and of life, to which several people add; a line counts by its first row."""
    first = re.findall(rf"^\| {group}(\d+)", PAGE.read_text(), re.MULTILINE)
    numbers = [int(number) for number in first]
    assert numbers == sorted(set(numbers))
