"""The model by itself, called as modelserve calls it, with the sample pictures."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from conftest import call
from marshmallow import Schema
from modelserve_digits.model import Digits
from PIL import Image

from modelserve.errors import InvalidArguments

Json = dict[str, Any]


def predicted(model: Digits, path: Path, **more: Any) -> Json:
    answer = model.predict(**call(path, **more))
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("label", range(10))
def test_every_sample_is_read_right(model: Digits, samples: Path, label: int) -> None:
    assert predicted(model, samples / f"{label}.png")["label"] == label


def test_a_light_digit_in_the_corner_of_a_dark_jpeg_is_read_right(model: Digits, samples: Path) -> None:
    assert predicted(model, samples / "chalk.jpg")["label"] == 4


def test_the_answer_fits_the_schema_and_lists_the_likeliest_first(model: Digits, samples: Path) -> None:
    answer = predicted(model, samples / "3.png", top_k=10)
    assert Schema.from_dict(dict(model.schema))().validate(answer) == {}
    probabilities = [candidate["probability"] for candidate in answer["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert answer["predictions"][0] == {"label": answer["label"], "probability": answer["probability"]}
    assert answer["weights"] == "built-in"


@pytest.mark.parametrize("top_k", [1, 3, 10])
def test_top_k_says_how_many_digits_are_listed(model: Digits, samples: Path, top_k: int) -> None:
    assert len(predicted(model, samples / "0.png", top_k=top_k)["predictions"]) == top_k


def test_a_png_is_answered_where_one_is_asked_for(model: Digits, samples: Path) -> None:
    answer = model.predict(**call(samples / "7.png", accept="image/png"))
    assert isinstance(answer, bytes)
    with Image.open(BytesIO(answer)) as chart:
        assert (chart.format, chart.size) == ("PNG", (860, 460))


def test_a_chart_of_a_wide_jpeg_can_be_drawn(model: Digits, samples: Path) -> None:
    answer = model.predict(**call(samples / "chalk.jpg", accept="image/png"))
    assert isinstance(answer, bytes)


def test_a_batch_answers_each_call_as_it_would_alone(model: Digits, samples: Path) -> None:
    calls = [call(samples / f"{label}.png", top_k=1 + label) for label in range(10)]
    calls[4]["accept"] = "image/png"
    assert model.predict_batch(calls) == [model.predict(**one) for one in calls]


def test_a_file_that_is_no_picture_is_told_so_by_the_arguments_name(model: Digits, tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("this is text, whatever its name says\n")
    with pytest.raises(InvalidArguments) as raised:
        model.predict(**call(path))
    assert raised.value.fields == {"image": ["This is no picture: send a PNG or JPEG file."]}
    assert str(path) not in str(raised.value.fields)
