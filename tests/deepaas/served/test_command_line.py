"""The packages from the command line, and the start lines of their images with one word changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, modelserve
from tests.running import import_path, running


@pytest.fixture
def command(old_packages: dict[str, Path], tmp_path: Path) -> Any:
    visible = [old_packages[name] for name in ("leaf_classifier", "tile_segmenter", "sea_forecast")]

    def run(*arguments: str) -> Done:
        return modelserve(*arguments, folder=tmp_path, variables={"PYTHONPATH": import_path(*visible)})

    return run


def test_models_are_listed_by_group(command: Any) -> None:
    rows = json.loads(command("models", "--json").out)
    assert {row["name"]: row["group"] for row in rows} == dict.fromkeys(
        ("leaf_classifier", "sea_forecast", "tile-segmenter"), "deepaas.v2.model"
    )
    assert "No model is installed" in command("models", "--group", "modelserve.v2.model").out


def test_check_shows_the_arguments(command: Any) -> None:
    done = command("check", "leaf_classifier")
    assert done.status == 0, done.err
    for word in ("bbox(N,W,S,E)", "demo-str", "some-string", "one | two", "files", "image/png"):
        assert word in done.out


def test_predict_and_train_without_a_server(command: Any, tmp_path: Path) -> None:
    (tmp_path / "leaf.png").write_bytes(b"leaf")
    done = command("predict", "leaf_classifier", "--demo-str", "x", "--data", "leaf.png")
    assert done.status == 0, done.err
    given = json.loads(done.out)["predictions"]["arguments"]
    assert (given["demo-str"], given["data"][2:]) == ("x", ["leaf.png", "leaf"])
    done = command("train", "leaf_classifier", "--epochs", "2")
    assert done.status == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "variables", "served"),
    [
        (["--listen-ip=127.0.0.1", "--listen-port=0", "--model-name=sea_forecast"], {}, {"sea_forecast"}),
        (["--listen-ip", "127.0.0.1", "--listen-port", "0"], {"DEEPAAS_V2_MODEL": "sea_forecast"}, {"sea_forecast"}),
        (["--model-name", "leaf_classifier"], {"DEEPAAS_V2_MODEL": "sea_forecast"}, {"leaf_classifier"}),
        (["leaf_classifier", "--model-name", "sea_forecast"], {}, {"leaf_classifier", "sea_forecast"}),
        ([], {"DEEPAAS_V2_MODEL": ""}, {"leaf_classifier", "sea_forecast", "tile-segmenter"}),
        (
            ["--group", "deepaas.v2.model", "--base-path", "/lab/"],
            {},
            {"leaf_classifier", "sea_forecast", "tile-segmenter"},
        ),
    ],
)
def test_start_lines(
    old_packages: dict[str, Path], tmp_path: Path, arguments: list[str], variables: dict[str, str], served: set[str]
) -> None:
    visible = [old_packages[name] for name in ("leaf_classifier", "tile_segmenter", "sea_forecast")]
    with running(arguments, folder=tmp_path, visible=visible, env=variables) as server:
        base = "/lab" if "--base-path" in arguments else ""
        for path in (f"{base}/v2/models/", f"{base}/v2/models"):
            assert {model["id"] for model in server.get(path).json()["models"]} == served
        if base:
            assert server.get("/v2/models/").status == 404
            assert server.get("/lab").status == server.get("/lab/").status == 200
