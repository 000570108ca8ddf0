"""The samples are what their script makes, of digits that the classifier has not seen; its accuracy is as stated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from modelserve_digits import classifier
from PIL import Image


@pytest.fixture(scope="session")
def fitted() -> classifier.Classifier:
    return classifier.fit()


def test_the_samples_in_the_repository_are_what_the_command_writes(samples: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelserve_digits.samples", str(tmp_path / "out")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    written = sorted((tmp_path / "out").iterdir())
    assert said == sorted(map(str, written))
    assert [path.name for path in written] == sorted(path.name for path in samples.iterdir())
    for path in written:
        # Pixels, not bytes: another Pillow may compress differently.
        with Image.open(path) as made, Image.open(samples / path.name) as kept:
            assert np.abs(np.asarray(made, int) - np.asarray(kept, int)).max() <= 3


def test_the_samples_command_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-m", "modelserve_digits.samples"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "usage: python -m modelserve_digits.samples DIR\n")


def test_a_fifth_of_the_digits_is_held_out_and_covers_every_label() -> None:
    _, labels = classifier.bundled()
    held = classifier.held_out()
    assert len(held) == len(set(held.tolist())) == 360
    assert set(labels[held].tolist()) == set(range(10))


def test_the_accuracy_on_held_out_digits_is_at_least_97_in_100(fitted: classifier.Classifier) -> None:
    assert classifier.accuracy(fitted) >= 0.97


def test_probabilities_are_probabilities(fitted: classifier.Classifier) -> None:
    rows = fitted.predict_proba(np.random.default_rng(0).uniform(0, 16, (5, 64)))
    assert rows.shape == (5, 10)
    assert rows.min() >= 0
    np.testing.assert_allclose(rows.sum(axis=1), 1)


def test_fitting_twice_gives_the_same_classifier(fitted: classifier.Classifier) -> None:
    squares = np.random.default_rng(1).uniform(0, 16, (20, 64))
    np.testing.assert_allclose(classifier.fit().predict_proba(squares), fitted.predict_proba(squares), atol=1e-6)
