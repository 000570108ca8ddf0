"""The network is as good as the README says, in full precision and in bfloat16; what is kept of it is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from modelserve_digits_torch import weights
from modelserve_digits_torch.network import Reader, best_device, build
from modelserve_digits_torch.training import Labels, Squares, accuracy, held_out_pictures, held_out_squares, train


@pytest.fixture(scope="module")
def kept(weights_file: Path) -> Path:
    """The file with the weights, trained unless another test has done so."""
    weights.load_or_train(weights_file)
    return weights_file


def reader(kept: Path, *, bf16: bool = False) -> Reader:
    return Reader(weights.load_or_train(kept), best_device(), bf16=bf16)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("held_out", [held_out_squares(), held_out_pictures()], ids=["squares", "pictures"])
def test_at_least_97_in_100_held_out_digits_are_read_right(
    kept: Path, held_out: tuple[Squares, Labels], bf16: bool
) -> None:
    assert len(held_out[0]) == 360
    assert accuracy(reader(kept, bf16=bf16), *held_out) >= 0.97


def test_probabilities_are_probabilities(kept: Path) -> None:
    squares = np.random.default_rng(0).uniform(0, 16, (5, 8, 8)).astype(np.float32)
    rows = reader(kept, bf16=True).probabilities(squares)
    assert rows.shape == (5, 10)
    assert rows.dtype == np.float32
    assert rows.min() >= 0
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_training_again_gives_nearly_the_same_network_and_leaves_torch_as_it_was(kept: Path) -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again = Reader(train(), best_device(), bf16=False)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    squares, _ = held_out_squares()
    np.testing.assert_allclose(again.probabilities(squares), reader(kept).probabilities(squares), atol=0.02)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_of_no_use(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "digits.pt"
    file.write_bytes(content)
    assert weights.load(file) is None


def test_the_weights_of_another_network_are_of_no_use(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(1)}, tmp_path / "digits.pt")
    assert weights.load(tmp_path / "digits.pt") is None


def test_what_is_kept_is_loaded_as_it_was_and_nothing_else_is_left(tmp_path: Path) -> None:
    network = build().eval()
    weights.save(network, tmp_path / "folder" / "digits.pt")
    loaded = weights.load(tmp_path / "folder" / "digits.pt")
    assert loaded is not None
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), loaded.parameters(), strict=True))
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["digits.pt"]


def test_the_weights_lie_in_the_users_cache_unless_a_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_TORCH_WEIGHTS", "/somewhere/digits.pt")
    assert weights.path() == Path("/somewhere/digits.pt")
    monkeypatch.delenv("DIGITS_TORCH_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert weights.path() == Path("/cache/modelserve-digits-torch/1.0.0.pt")
