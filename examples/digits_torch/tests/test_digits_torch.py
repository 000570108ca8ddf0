"""The model by itself, called as modelserve calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import call
from marshmallow import Schema
from modelserve_digits_torch.model import DigitsTorch
from modelserve_digits_torch.training import held_out_squares

from modelserve.errors import InvalidArguments

SQUARES, LABELS = held_out_squares()


@pytest.mark.parametrize("name", [*(f"{label}.png" for label in range(10)), "chalk.jpg"])
def test_every_sample_is_read_right(model: DigitsTorch, samples: Path, name: str) -> None:
    (answer,) = model.predict_batch([call(samples / name)])
    assert answer["label"] == (4 if name == "chalk.jpg" else int(name[0]))


def test_the_answer_fits_the_schema_and_lists_the_likeliest_first(model: DigitsTorch) -> None:
    (answer,) = model.predict_batch([call(square=SQUARES[0], top_k=10)])
    assert Schema.from_dict(dict(model.schema))().validate(answer) == {}
    probabilities = [candidate["probability"] for candidate in answer["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert answer["predictions"][0] == {"label": answer["label"], "probability": answer["probability"]}
    assert answer["weights"] == "built-in"


def test_a_batch_of_every_kind_answers_each_call_as_it_would_alone(model: DigitsTorch, samples: Path) -> None:
    calls = [call(square=square, top_k=1 + number) for number, square in enumerate(SQUARES[:9])]
    calls[4:4] = [call(samples / "7.png"), call(), call(square=SQUARES[0], accept="application/x-npy")]
    together = model.predict_batch(calls)
    assert [type(answer) for answer in together[4:7]] == [dict, InvalidArguments, np.ndarray]
    for one, answer in zip(calls, together, strict=True):
        (alone,) = model.predict_batch([one])
        if isinstance(answer, dict):
            assert answer["label"] == alone["label"]
            assert answer["probability"] == pytest.approx(alone["probability"], abs=1e-5)
            assert len(answer["predictions"]) == one["top_k"]


@pytest.mark.parametrize("both", [False, True])
def test_neither_and_both_of_image_and_square_are_refused(model: DigitsTorch, samples: Path, both: bool) -> None:
    (answer,) = model.predict_batch([call(samples / "1.png", square=SQUARES[0]) if both else call()])
    assert isinstance(answer, InvalidArguments)
    assert answer.fields == {"image": ["Give either an image or a square."]}


def test_a_file_that_is_no_picture_is_told_so_by_the_arguments_name(model: DigitsTorch, tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("this is text, whatever its name says\n")
    (answer,) = model.predict_batch([call(path)])
    assert isinstance(answer, InvalidArguments)
    assert answer.fields == {"image": ["This is no picture: send a PNG or JPEG file."]}
