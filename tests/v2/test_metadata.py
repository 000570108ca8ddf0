"""What a model says about itself: required, completed, refused."""

from __future__ import annotations

import logging
import types
from typing import Any

import pytest

from modelserve.errors import ContractError
from modelserve.messages import Metadata
from modelserve.v2.metadata import read_metadata
from modelserve.v2.model import BaseModel

DISTRIBUTION = {
    "license": "MIT",
    "author": "A. Author",
    "version": "1.2",
    "url": "https://example.org",
    "summary": "A model of the world",
}
REQUIRED = {"name": "Digits", "description": "Reads digits."}


class Documented:
    """Reads digits.

    And more.
    """


def read(given: Any = None, model: Any = None, distribution: dict[str, str] | None = None) -> Metadata:
    model = types.SimpleNamespace(get_metadata=lambda: given) if model is None else model
    return read_metadata(model, name="digits", distribution=DISTRIBUTION if distribution is None else distribution)


def test_what_is_not_said_comes_from_the_distribution() -> None:
    assert read(REQUIRED) == Metadata(
        id="digits",
        name="Digits",
        description="Reads digits.",
        license="MIT",
        author="A. Author",
        version="1.2",
        url="https://example.org",
    )
    assert read(REQUIRED, distribution={}) == Metadata(id="digits", name="Digits", description="Reads digits.")


def test_what_the_model_says_wins_and_numbers_are_texts() -> None:
    said = read(
        {**REQUIRED, "id": "d", "version": 2.5, "author": None, "links": [{"rel": "a", "href": "/x", "type": "t"}]}
    )
    assert (said.id, said.version, said.author) == ("d", "2.5", "A. Author")
    assert said.links == [{"rel": "a", "href": "/x"}]


def test_any_mapping_will_do_and_texts_stay_plain() -> None:
    hostile = "<script>alert(1)</script> \ud800"
    assert read(types.MappingProxyType({**REQUIRED, "name": hostile})).name == "<script>alert(1)</script> ?"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"name": "x"}, "'description'"),
        ({"description": "x"}, "'name'"),
        ({**REQUIRED, "name": "  "}, "'name'"),
        ({**REQUIRED, "name": None}, "'name'"),
        ({**REQUIRED, "author": ["a"]}, "'author'"),
        ({**REQUIRED, "version": True}, "'version'"),
        ({**REQUIRED, "links": "x"}, "links"),
        ({**REQUIRED, "links": [{"rel": "a", "href": "b"}, {"rel": "a"}]}, r"\[1\].*'href'"),
        (None, "NoneType"),
        ([REQUIRED], "list"),
    ],
)
def test_what_is_wrong_is_named(given: Any, named: str) -> None:
    with pytest.raises(ContractError, match=named):
        read(given)


def test_an_exception_of_the_model_is_not_caught() -> None:
    """FAULTS B05: the worker reports it, and the listing marks this model alone."""

    def get_metadata() -> None:
        raise OSError("no file")

    with pytest.raises(OSError, match="no file"):
        read(model=types.SimpleNamespace(get_metadata=get_metadata))


def test_unknown_keys_are_ignored_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read({**REQUIRED, "sumary": "x", "Author": "y"})
    assert caplog.messages == ["get_metadata() has keys that are not used: Author, sumary"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "http://[x"])
def test_a_link_that_could_run_a_script_is_left_out(url: str) -> None:
    said = read({**REQUIRED, "url": url, "links": [{"rel": "a", "href": url}, {"rel": "b", "href": "https://b"}]})
    assert said.url == ""
    assert said.links == [{"rel": "b", "href": "https://b"}]


def test_a_model_without_metadata_is_described_by_its_docstring_else_its_distribution() -> None:
    assert read(model=Documented()).description == "Reads digits."
    assert read(model=Documented).description == "Reads digits."
    assert read(model=types.ModuleType("m", "A module.\n\nMore.")).description == "A module."
    assert read(model=types.SimpleNamespace()).description == "A model of the world"
    bare = read(model=types.SimpleNamespace(), distribution={})
    assert (bare.name, bare.description) == ("digits", "digits")
    assert BaseModel.__doc__ not in (bare.description, None)
