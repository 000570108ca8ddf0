"""Names in Content-Disposition: as clients write them in forms, and as an answer is offered under them."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserve.web.dispositions import disposition, names_of


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('filename="a.png"', "a.png"),
        ("filename=a.png", "a.png"),
        ('FileName = "a.png" ;', "a.png"),
        ('filename=""', ""),
        ('filename="a;b.png"', "a;b.png"),
        ('filename="a;b;c.png"', "a;b;c.png"),
        ('filename="a; name=x; c.png"', "a; name=x; c.png"),
        ('filename="a\\"b.png"', 'a"b.png'),
        ('filename="a\\";b;c.png"', 'a";b;c.png'),
        ('filename="a%22b.png"', "a%22b.png"),
        ('filename="C:\\x\\cat.png"', "C:\\x\\cat.png"),
        ('filename="C:\\\\x\\\\cat.png"', "C:\\x\\cat.png"),
        ('filename="ends\\"', "ends\\"),
        ("filename=räport.png", "räport.png"),
        ("filename=my file.png", "my file.png"),
        ("filename*=UTF-8''r%C3%A4port.png", "räport.png"),
        ("filename*=utf-8'de'r%C3%A4port.png", "räport.png"),
        ("filename*=ISO-8859-1''r%E4port.png", "räport.png"),
        ("filename=raport.png; filename*=UTF-8''r%C3%A4port.png", "räport.png"),
        ("filename*=UTF-8''r%C3%A4port.png; filename=raport.png", "räport.png"),
        ("filename*=UTF-8''it's.png", "it's.png"),
        ("filename*=UTF-8''%FF.png; filename=plain.png", "plain.png"),
        ("filename*=idna''a.png; filename=plain.png", "plain.png"),
        ("filename*=UTF-8''%FF.png", ""),
        ("filename*0*=UTF-8''%FF.png", ""),
        ("filename*0*=none''%FF.png", ""),
        ("filename*1=b.png", ""),
        ("filename*0*=UTF-8''r%C3%A4; filename*1*=port.png", "räport.png"),
        ("size=1", None),
    ],
)
def test_a_file_has_the_name_that_its_client_meant(written: str, read: str | None) -> None:
    """U2: aiohttp refuses a name with two semicolons."""
    assert names_of(f"form-data; name=x; {written}") == ("x", read)
    assert names_of(f'form-data; {written}; name="x"') == ("x", read)


@pytest.mark.parametrize(
    "header", ["", "form-data", "form-data; filename=a", 'form-data; name=""', "form-data; name=a; name=b"]
)
def test_a_part_without_one_name_has_none(header: str) -> None:
    assert names_of(header) is None


@given(st.text())
def test_an_answers_names_are_one_that_is_safe_and_one_that_is_whole(name: str) -> None:
    written = disposition("inline", name)
    found = re.fullmatch(r"inline; filename=\"([ -~]*)\"; filename\*=UTF-8''([\w.~%-]*)", written, re.ASCII)
    assert found is not None
    assert not set(found[1]) & set('/\\%;"')
    whole = unquote(found[2], errors="strict")
    assert [kept for kept, given in zip(whole, name, strict=True) if kept not in (given, "_", "\ufffd")] == []
    assert names_of(f"form-data; name=x;{written.partition(';')[2]}") == ("x", whole)
