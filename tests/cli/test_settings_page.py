"""The page of settings is made from the table, and says what the table says."""

from __future__ import annotations

from pathlib import Path

from modelserve.cli.settings_page import reference_markdown
from modelserve.settings import FIELDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_reference_page_is_in_step_with_the_table() -> None:
    hint = "run: python -m modelserve.cli.settings_page > docs/reference/settings.md"
    assert PAGE.read_text() == reference_markdown(), hint


def test_every_setting_says_whether_a_deployment_may_have_its_own() -> None:
    for field in FIELDS:
        entry = reference_markdown().partition(f"\n## {field.name}\n")[2].partition("\n## ")[0]
        assert f"- per deployment: {'yes' if field.per_deployment else 'no'}\n" in entry, field.name
