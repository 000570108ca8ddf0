"""Where a job's end may be told, and where not."""

from __future__ import annotations

import pytest

from modelserve.errors import InvalidArguments
from modelserve.settings import Settings
from modelserve.web.callbacks import check_callback

SETTINGS = Settings(callback_hosts="hooks.example.org,10.0.0.7:8080,[::1],bare.example:443")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org/done?job=1",
        "http://hooks.example.org",
        "https://HOOKS.example.org:443/",
        "http://10.0.0.7:8080/x",
        "http://[::1]/x",
        "https://bare.example/x",
    ],
)
def test_a_host_that_the_operator_allows_is_taken_as_it_is(url: str) -> None:
    assert check_callback(url, SETTINGS) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/",
        "http://hooks.example.org.evil.example/",
        "http://hooks.example.org:8080/",
        "http://10.0.0.7/",
        "http://bare.example/",
        "http://evil.example#hooks.example.org",
        "http://evil.example/?@hooks.example.org",
    ],
)
def test_any_other_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_callback(url, SETTINGS)
    assert caught.value.fields == {"callback_url": ["Its host is none that the setting callback_hosts allows."]}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "https://user:secret@hooks.example.org/",
        "https://evil.example\\@hooks.example.org/",
        "https://hooks.example.org\t/",
        "https://hooks.example.org/\r\nX: y",
        "https://hooks.example.org:port/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:0443/",
        "https://[::1/",
        "https:///x",
        "https://hooks.example.org/" + "x" * 2000,
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        check_callback(url, SETTINGS)
    assert list(caught.value.fields) == ["callback_url"]


def test_without_the_setting_no_host_is_allowed() -> None:
    with pytest.raises(InvalidArguments):
        check_callback("https://hooks.example.org/", Settings())
