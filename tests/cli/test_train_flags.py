"""The address of a server is one, and a flag is found among words that cannot be parsed yet."""

from __future__ import annotations

import click
import pytest

from modelserve.cli.train_flags import Address, value_of


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://me:secret@host/models/v1/", "https://me:secret@host/models/v1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_an_address_has_no_slash_at_its_end(text: str, address: str) -> None:
    assert Address().convert(text, None, None) == address


@pytest.mark.parametrize(
    "text",
    ["", "host:5000", "127.0.0.1", "ftp://host", "http://", "http://[x", "http://h:x", "http://h/?a=1", "http://h#a"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no address such as http://127\.0\.0\.1:5000"):
        Address().convert(text, None, None)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], None),
        (["--x", "1"], None),
        (["--url", "a"], "a"),
        (["--x", "1", "--url=a", "--y"], "a"),
        (["--url", "a", "--url", "b"], "b"),
        (["--url"], None),
        (["--url="], ""),
    ],
)
def test_a_flag_is_found_in_both_spellings_and_the_last_one_holds(words: list[str], value: str | None) -> None:
    assert value_of("--url", words) == value
