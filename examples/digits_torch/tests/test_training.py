"""The network is as good as the README says, in full precision and in bfloat16; what is kept of it is whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call
from modelserve_digits.classifier import held_out_pictures
from modelserve_digits.lessons import Lessons
from modelserve_digits_torch import weights
from modelserve_digits_torch.learner import Learner
from modelserve_digits_torch.model import DigitsTorch
from modelserve_digits_torch.network import Reader, best_device, build
from modelserve_digits_torch.training import Labels, Squares, accuracy, held_out_squares, train
from modelserve_digits_torch.weights import Kept


@pytest.fixture(scope="module", autouse=True)
def built_in(user_folder: Path) -> None:
    """See to the built-in weights, which are made unless another test has done so."""
    weights.current()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a training of this test writes."""
    path = tmp_path / "folder" / "weights.pt"
    monkeypatch.setenv("DIGITS_TORCH_WEIGHTS", str(path))
    return path


def reader(*, bf16: bool = False) -> Reader:
    return Reader(weights.current().network, best_device(), bf16=bf16)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("held_out", [held_out_squares(), held_out_pictures()], ids=["squares", "pictures"])
def test_at_least_97_in_100_held_out_digits_are_read_right(held_out: tuple[Squares, Labels], bf16: bool) -> None:
    assert len(held_out[0]) == 360
    assert accuracy(reader(bf16=bf16), *held_out) >= 0.97


def test_probabilities_are_probabilities() -> None:
    squares = np.random.default_rng(0).uniform(0, 16, (5, 8, 8)).astype(np.float32)
    rows = reader(bf16=True).probabilities(squares)
    assert rows.shape == (5, 10)
    assert rows.dtype == np.float32
    assert rows.min() >= 0
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_training_again_gives_nearly_the_same_network_and_leaves_torch_as_it_was() -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again = Reader(train(), best_device(), bf16=False)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    squares, _ = held_out_squares()
    np.testing.assert_allclose(again.probabilities(squares), reader().probabilities(squares), atol=0.02)


def test_a_model_that_warms_after_a_training_serves_the_new_weights(kept: Path, samples: Path) -> None:
    result = DigitsTorch().train(epochs=2, learning_rate=0.002, hidden_size=32)
    assert set(result) == {"accuracy", "loss", "epochs", "weights"}
    assert result["epochs"] == 2
    assert result["accuracy"] >= 0.85
    assert [file.name for file in kept.parent.iterdir()] == ["weights.pt"]
    model = DigitsTorch()
    model.warm()
    answers = model.predict_batch([call(samples / f"{label}.png") for label in range(10)])
    assert {answer["weights"] for answer in answers} == {result["weights"]}
    assert sum(answer["label"] == label for label, answer in enumerate(answers)) >= 8


def test_a_network_learns_with_each_epoch() -> None:
    torch.manual_seed(0)
    learner, lessons = Learner(hidden_size=16, learning_rate=0.002), Lessons()
    losses = [learner.learn(*lessons.next()) for _ in range(2)]
    assert losses == sorted(losses, reverse=True)
    np.testing.assert_allclose(learner.probabilities(held_out_pictures()[0]).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_left_aside_and_the_built_in_weights_serve(kept: Path, content: bytes) -> None:
    kept.parent.mkdir()
    kept.write_bytes(content)
    assert weights.load(kept) is None
    assert weights.current().name == "built-in"
    assert kept.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        {"name": "other", "network": {"0.weight": torch.zeros(1)}},
        {"name": "other", "network": {"7.weight": torch.zeros(64, 3)}},
        {"name": "other", "network": {"7.weight": torch.tensor(1.0)}},
        {"0.weight": torch.zeros(1)},
        torch.zeros(1),
        ["network"],
    ],
)
def test_the_weights_of_another_network_are_of_no_use(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert weights.load(tmp_path / "weights.pt") is None


def test_what_is_kept_is_loaded_as_it_was_and_nothing_else_is_left(kept: Path) -> None:
    network = build(16).eval()
    weights.save(Kept("mine", network), kept)
    loaded = weights.current()
    assert loaded.name == "mine"
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), loaded.network.parameters(), strict=True))
    assert [file.name for file in kept.parent.iterdir()] == ["weights.pt"]


def test_weights_lie_in_the_users_folders_unless_a_file_is_named(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.cache() == user_folder / "cache" / "modelserve-digits-torch" / "1.0.0.pt"
    assert weights.path() == user_folder / "data" / "modelserve-digits-torch" / "weights.pt"
    monkeypatch.setenv("DIGITS_TORCH_WEIGHTS", "/somewhere/weights.pt")
    assert weights.path() == Path("/somewhere/weights.pt")
