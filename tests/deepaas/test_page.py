"""What the page on moving from DEEPaaS tells its reader to do, with a package before the move and after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deepaas.conftest import IS_OLD
from tests.running import import_path, multipart, running
from tests.test_docs import DOCS, Reader, blocks


@pytest.mark.parametrize("package", ["leaf_classifier", "leaf_renewed"] if IS_OLD else ["leaf_renewed"])
def test_what_the_page_tells_its_reader_to_do_works(
    package: str, old_packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", import_path(old_packages[package]))
    with Reader(tmp_path) as reader:
        for block in blocks(DOCS / "how-to" / "move-from-deepaas.md"):
            reader.follow(block)


def test_a_package_that_has_moved_does_what_it_did_but_for_what_the_page_names(
    old_packages: dict[str, Path], tmp_path: Path
) -> None:
    with running(["leaf_classifier"], folder=tmp_path, visible=[old_packages["leaf_renewed"]]) as server:
        path = "/v2/models/leaf_classifier/predict/"
        body, kind = multipart({}, {"data": ("leaf.png", b"a leaf", "image/png")})
        assert server.request("POST", f"{path}?what=upload", body, {"Content-Type": kind}).body == b"a leaf"
        refused = server.request("POST", f"{path}?what=value")
        assert (refused.status, refused.json()["message"]) == (400, "no leaf")
        assert server.request("POST", f"{path}?nosuch=1").status == 422
        assert server.request("POST", path, headers={"Accept": "image/png"}).status == 406
