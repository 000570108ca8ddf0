"""A file of digits that a client sends: what is taken, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelserve_digits.lessons import Lessons, UnreadableDatasetError, read_dataset

ONE = np.full((1, 8, 8), 16)
LABEL = np.array([1])


def written(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "digits.npz", **arrays)
    return folder / "digits.npz"


def test_the_digits_of_a_file_are_learnt_besides_the_bundled_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelserve_digits.lessons", str(tmp_path / "digits.npz")]
    subprocess.run(command, check=True)
    images, labels = read_dataset(tmp_path / "digits.npz")
    assert images.shape == (200, 8, 8)
    squares, _ = Lessons((images, labels)).next()
    assert len(squares) == 3 * (1437 + 200)


def test_the_command_that_writes_a_file_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-m", "modelserve_digits.lessons"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "usage: python -m modelserve_digits.lessons FILE.npz\n")


@pytest.mark.parametrize("content", [b"", b"no arrays", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "digits.npz"
    path.write_bytes(content)
    with pytest.raises(UnreadableDatasetError, match="Send an npz file"):
        read_dataset(path)


def test_a_file_of_one_array_and_one_without_labels_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", ONE)
    for path in (tmp_path / "digits.npy", written(tmp_path, images=ONE)):
        with pytest.raises(UnreadableDatasetError, match="images and labels"):
            read_dataset(path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (ONE, np.array([1, 2])),
        (ONE, np.array([10])),
        (ONE, np.array([1.0])),
        (ONE, np.array(1)),
        (ONE[0], LABEL),
        (ONE[:0], LABEL[:0]),
        (ONE * 2, LABEL),
        (-ONE, LABEL),
        (ONE * np.nan, LABEL),
        (ONE // 16, LABEL),
        (np.full((1, 8, 8), "x"), LABEL),
        (np.array(3), LABEL),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, images: Any, labels: Any) -> None:
    with pytest.raises(UnreadableDatasetError, match="from 0 to 16"):
        read_dataset(written(tmp_path, images=images, labels=labels))


def test_nothing_in_a_file_is_unpickled(tmp_path: Path) -> None:
    with pytest.raises(UnreadableDatasetError):
        read_dataset(written(tmp_path, images=np.array([object()]), labels=LABEL))
