"""Names, references and texts of many models in one document."""

from __future__ import annotations

import pytest

from modelserve.web.schema_refs import as_markdown, home_page, rewrite, unique_names


def test_a_name_that_is_fine_stays_as_it_is() -> None:
    assert unique_names({1: "digits.Item", 2: "b-c_d"}) == {1: "digits.Item", 2: "b-c_d"}


def test_names_that_come_out_equal_are_numbered() -> None:
    assert unique_names({1: "a b", 2: "a_b", 3: "a/b", 4: ""}) == {1: "a_b", 2: "a_b_2", 3: "a_b_3", 4: "_"}


def test_a_numbered_name_does_not_take_anothers() -> None:
    assert unique_names({1: "a", 2: "a_2", 3: "a"}) == {1: "a", 2: "a_2", 3: "a_3"}


def test_references_are_rewritten_at_every_depth() -> None:
    schema = {"anyOf": [{"$ref": "#/a"}, {"type": "array", "items": {"properties": {"x": {"$ref": "#/a"}}}}]}
    assert rewrite(schema, {"#/a": "#/b"}) == {
        "anyOf": [{"$ref": "#/b"}, {"type": "array", "items": {"properties": {"x": {"$ref": "#/b"}}}}]
    }


def test_data_is_no_schema() -> None:
    schema = {"default": {"$ref": "#/a", "description": "<b>"}, "enum": ["<b>"], "const": {"$id": "x"}}
    assert rewrite(schema, {"#/a": "#/b"}, text=as_markdown) == schema


def test_properties_may_be_called_as_keywords_are() -> None:
    named = {name: {"$ref": "#/a"} for name in ("default", "description", "$ref", "properties", "$id")}
    assert rewrite({"properties": named}, {"#/a": "#/b"}) == {"properties": {name: {"$ref": "#/b"} for name in named}}


@pytest.mark.parametrize("target", ["https://evil.example/s.json", "#/components/schemas/Unknown", "//evil", "x.json"])
def test_a_reference_to_anything_unknown_allows_everything(target: str) -> None:
    assert rewrite({"items": {"$ref": target}}, {"#/a": "#/b"}) == {"items": {}}


def test_keys_that_move_the_base_of_references_are_dropped() -> None:
    assert rewrite({"$id": "https://evil.example/", "$schema": "x", "type": "string"}, {}) == {"type": "string"}


@pytest.mark.parametrize(
    ("default", "is_kept"),
    [("2020-01-01T00:00:00", False), ("2020-01-01T00:00:00+00:00", True), ("2020-01-01T00:00:00Z", True), (None, True)],
)
def test_a_naive_default_time_is_not_told_to_be_a_date_time(default: str | None, is_kept: bool) -> None:
    schema = {"type": "string", "format": "date-time", "default": default}
    assert ("format" in rewrite(schema, {})) is is_kept


def test_the_original_schema_is_left_alone() -> None:
    schema = {"properties": {"x": {"$ref": "#/a", "description": "<b>"}}}
    rewrite(schema, {"#/a": "#/b"}, text=as_markdown)
    assert schema == {"properties": {"x": {"$ref": "#/a", "description": "<b>"}}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x < 10 and y > 3", "x < 10 and y > 3"),
        ("a List<int> of", "a List&lt;int> of"),
        ("`List<int>`, <b>", "`List<int>`, &lt;b>"),
        ("``a ` <b>`` <b>", "``a ` <b>`` &lt;b>"),
        ("```\n<b>\n```", "```\n<b>\n```"),
        ("a lone ` <b>", "a lone ` &lt;b>"),
        ("</script><!-- <?x", "&lt;/script>&lt;!-- &lt;?x"),
    ],
)
def test_html_is_shown_and_code_is_kept(text: str, shown: str) -> None:
    assert as_markdown(text) == shown


@pytest.mark.parametrize("url", ["https://example.org/a?b=c#d", "http://example.org"])
def test_a_web_address_is_a_home_page(url: str) -> None:
    assert home_page(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "data:text/html,x",
        "example.org",
        "https://",
        "https://a b",
        'https://a/">',
        "http://[x",
    ],
)
def test_anything_else_is_none(url: str) -> None:
    assert home_page(url) == ""
