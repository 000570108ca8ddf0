"""Content negotiation by RFC 9110, section 12.5.1 (FAULTS C08)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserve.errors import NotAcceptable
from modelserve.v2.negotiation import choose, within

OFFERED = ("application/json", "image/png", "text/plain")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("  ", "application/json"),
        ("application/*", "application/json"),
        ("image/*", "image/png"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("image/png, application/json", "application/json"),
        ("application/json, text/plain;q=0.9", "application/json"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("application/json;q=0.5, */*;q=0.6", "image/png"),
        ("*/*;q=0.1, text/*;q=0.2", "text/plain"),
        ("application/json;q=0, */*", "image/png"),
        ("image/*;q=0, image/png", "image/png"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, image/avif, */*;q=0.8", "application/json"),
        ("image/png;q=.5, application/json;q=.2", "image/png"),
        ("text/html, image/gif, *; q=.2, */*; q=.2", "application/json"),
        ("image/png;level=1;q=0.4, text/plain;charset=utf-8", "text/plain"),
        ("image/png;q=0.1, image/png;q=0.9, text/plain;q=0.5", "image/png"),
        ("image/png;q=1, text/plain;q=0.5, image/png;q=0.1", "image/png"),
        ("image/png; Q=1", "image/png"),
    ],
)
def test_the_header_decides(accept: str, chosen: str) -> None:
    """FAULTS C08."""
    assert choose(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    ("accept", "chosen", "named"),
    [
        ("image/png", "image/*", "image/png"),
        ("Image/PNG;q=0.3", "image/*", "image/png"),
        ("image/*", "image/*", "image/*"),
        ("image/*;q=0.5, image/webp", "image/*", "image/webp"),
        ("image/*, image/webp;q=0.5", "image/*", "image/*"),
        ("image/webp, image/avif", "image/*", "image/*"),
        ("image/webp, image/avif;q=0.9, */*;q=0.8", "image/*", "image/webp"),
        ("application/json;q=0.5, image/x-y", "image/*", "image/x-y"),
        ("image/svg+xml", "image/svg+xml", "image/svg+xml"),
        ("image/svg+xml, image/png;q=0.5", "image/svg+xml", "image/svg+xml"),
        ("image/png;q=0, */*", "application/json", "application/json"),
        ("image/*;q=0, image/png", "image/*", "image/png"),
        ("*/*", "application/json", "application/json"),
        ("text/html, */*;q=0.1", "application/json", "application/json"),
        ("imagery/png, image/svg+xml;q=0.1", "image/svg+xml", "image/svg+xml"),
    ],
)
def test_a_range_is_met_by_what_the_header_names_in_it(accept: str, chosen: str, named: str) -> None:
    offered = ("application/json", "image/*", "image/svg+xml")
    assert choose(accept, offered) == chosen
    assert within(accept, chosen) == named


@pytest.mark.parametrize(
    "accept", ["audio/wav", "image/png;q=0", "image/*;q=0", "imagery/png", "image/*;q=0, image/png;q=0"]
)
def test_a_range_is_not_met_by_what_is_not_in_it(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"image/\*"):
        choose(accept, ("image/*",))


@pytest.mark.parametrize("accept", ["application/xml", "*/*;q=0", "image/png;q=0", "video/*", "image/jpeg, text/html"])
def test_nothing_that_fits_names_what_is_offered(accept: str) -> None:
    """FAULTS C08."""
    with pytest.raises(NotAcceptable, match="application/json, image/png, text/plain") as caught:
        choose(accept, OFFERED)
    assert caught.value.status == 406


@pytest.mark.parametrize("accept", ["png", "/", "*/png", ",,,", ";q=1", "image/png;q=2", "a/b;q=x", "a b/c", "q=1"])
def test_a_header_of_malformed_parts_alone_counts_as_absent(accept: str) -> None:
    assert choose(accept, OFFERED) == "application/json"


def test_malformed_parts_are_skipped() -> None:
    assert choose("png, image/png;q=high, text/plain", OFFERED) == "text/plain"


def test_of_equal_weights_the_one_offered_first_wins() -> None:
    assert choose("image/png, application/json", ("image/png", "application/json")) == "image/png"
    assert choose("image/png, application/json", ("application/json", "image/png")) == "application/json"


def test_a_very_long_header_is_cut_after_a_whole_part() -> None:
    assert choose("text/plain, " + "video/x-none, " * 100_000 + "image/png", OFFERED) == "text/plain"
    assert choose("v" * 1_000_000, OFFERED) == "application/json"


def test_parameters_of_an_offered_type_are_ignored() -> None:
    assert choose("text/plain", ("text/plain; charset=utf-8",)) == "text/plain; charset=utf-8"


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_header_gives_an_offered_type_or_406(accept: str) -> None:
    try:
        chosen = choose(accept, OFFERED)
    except NotAcceptable:
        return
    assert chosen in OFFERED
