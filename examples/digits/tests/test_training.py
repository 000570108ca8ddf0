"""A training by itself: the network learns, its weights are kept whole, and a model that warms serves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import call
from modelserve_digits import weights
from modelserve_digits.classifier import held_out_pictures
from modelserve_digits.lessons import Lessons
from modelserve_digits.model import Digits
from modelserve_digits.network import Learner, Network
from sklearn.neural_network import MLPClassifier

from modelserve.v2 import UploadedFile


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a training of this test writes."""
    path = tmp_path / "folder" / "weights.npz"
    monkeypatch.setenv("DIGITS_WEIGHTS", str(path))
    return path


def network(hidden: int = 4, value: float = 0.5) -> Network:
    return Network(np.full((64, hidden), value), np.zeros(hidden), np.zeros((hidden, 10)), np.zeros(10))


def test_a_model_that_warms_after_a_training_serves_the_new_weights(kept: Path, samples: Path) -> None:
    result = Digits().train(epochs=3, learning_rate=0.003, hidden_size=64)
    assert set(result) == {"accuracy", "loss", "epochs", "weights"}
    assert result["epochs"] == 3
    assert result["accuracy"] >= 0.85
    assert [file.name for file in kept.parent.iterdir()] == ["weights.npz"]
    model = Digits()
    model.warm()
    answers = [model.predict(**call(samples / f"{label}.png")) for label in range(10)]
    dicts = [answer for answer in answers if isinstance(answer, dict)]
    assert {answer["weights"] for answer in dicts} == {result["weights"]}
    assert sum(answer["label"] == label for label, answer in enumerate(dicts)) >= 8


def test_a_training_may_be_given_more_digits(kept: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.npz"
    np.savez(path, images=np.full((2, 8, 8), 16), labels=np.array([1, 1]))
    dataset = UploadedFile("dataset", str(path), "application/octet-stream", path.name, path.stat().st_size)
    assert Digits().train(epochs=1, learning_rate=0.003, hidden_size=8, dataset=dataset)["epochs"] == 1


def test_the_same_training_teaches_the_same() -> None:
    learners = [Learner(hidden_size=16, learning_rate=0.003) for _ in range(2)]
    squares, _ = held_out_pictures()
    for learner in learners:
        learner.learn(*Lessons().next())
    first, second = (learner.probabilities(squares) for learner in learners)
    np.testing.assert_allclose(first, second)


def test_the_network_says_what_scikit_learn_would_say() -> None:
    squares, labels = held_out_pictures()
    flat = squares.reshape(-1, 64).astype(np.float64)
    theirs = MLPClassifier((12,), random_state=0).partial_fit(flat / 16, labels, classes=range(10))
    ours = Network(theirs.coefs_[0], theirs.intercepts_[0], theirs.coefs_[1], theirs.intercepts_[1])
    np.testing.assert_allclose(ours.predict_proba(flat), theirs.predict_proba(flat / 16))


def test_what_is_kept_is_loaded_as_it_was(kept: Path) -> None:
    weights.save(weights.Kept("mine", network()), kept)
    loaded = weights.load(kept)
    assert loaded is not None
    assert loaded.name == "mine"
    np.testing.assert_array_equal(loaded.network.hidden, network().hidden)


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_left_aside_and_the_built_in_weights_serve(kept: Path, content: bytes) -> None:
    kept.parent.mkdir()
    kept.write_bytes(content)
    assert weights.load(kept) is None
    assert kept.read_bytes() == content


@pytest.mark.parametrize(
    "other",
    [
        Network(np.zeros((63, 4)), np.zeros(4), np.zeros((4, 10)), np.zeros(10)),
        Network(np.zeros((64, 4), int), np.zeros(4), np.zeros((4, 10)), np.zeros(10)),
        network(value=float("nan")),
    ],
)
def test_the_weights_of_another_network_are_left_aside(kept: Path, other: Network) -> None:
    weights.save(weights.Kept("other", other), kept)
    assert weights.load(kept) is None


def test_the_weights_lie_in_the_users_data_folder_unless_a_file_is_named(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights.path() == user_folder / "modelserve-digits" / "weights.npz"
    monkeypatch.setenv("DIGITS_WEIGHTS", "/somewhere/weights.npz")
    assert weights.path() == Path("/somewhere/weights.npz")
