"""One server with packages in each of the styles, as an operator starts it who has changed one word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Running, running

STYLES = ("leaf_classifier", "tile_segmenter", "sea_forecast", "audio_tagger")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder whose files tile-segmenter lists at each request."""
    return tmp_path_factory.mktemp("tiles")


@pytest.fixture(scope="module")
def server(old_packages: dict[str, Path], tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield the server."""
    visible = [old_packages[name] for name in STYLES]
    folder = tmp_path_factory.mktemp("old")
    with running(["--train-workers", "2"], folder=folder, visible=visible, env={"TILES": str(tiles)}) as started:
        yield started


@pytest.fixture(scope="session")
def pictures(old_packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a server with one package alone, as DEEPaaS serves it; one training runs at a time."""
    with running([], folder=tmp_path_factory.mktemp("pictures"), visible=[old_packages["plant_pictures"]]) as started:
        yield started
