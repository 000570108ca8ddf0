"""What the page on moving from DEEPaaS tells its reader to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import import_path
from tests.test_docs import DOCS, Reader, blocks


def test_what_the_page_tells_its_reader_to_do_works(
    old_packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", import_path(old_packages["leaf_classifier"]))
    with Reader(tmp_path) as reader:
        for block in blocks(DOCS / "how-to" / "move-from-deepaas.md"):
            reader.follow(block)
