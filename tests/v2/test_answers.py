"""Answers in JSON and in other media types: what a model may return, and what becomes of it."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import math
import socket
import types
from typing import Any, ClassVar

import marshmallow
import numpy as np
import pytest

from modelserve.errors import BadAnswer, ContractError
from modelserve.frames import encode
from modelserve.messages import Answer, Answers, decode_server_bound
from modelserve.v2 import fields
from modelserve.v2.answers import Renderer

JSON = "application/json"


def render(value: Any, schema: Any = None, media_type: str = JSON, **options: Any) -> Answer:
    options.setdefault("media_types", (media_type,))
    return Renderer(schema, **options).render(7, value, media_type)


def document(value: Any, schema: Any = None, **options: Any) -> Any:
    answer = render(value, schema, **options)
    assert answer.content_type == JSON
    return json.loads(answer.body)


def refusal(value: Any, schema: Any = None, media_type: str = JSON, **options: Any) -> BadAnswer:
    with pytest.raises(BadAnswer) as caught:
        render(value, schema, media_type, **options)
    assert caught.value.log
    assert "0x" not in caught.value.message
    return caught.value


class Spoken:
    def __str__(self) -> str:
        return "spoken"


class Silent:
    pass


class Mute:
    def __str__(self) -> str:
        raise ValueError("no text")


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("never")


class Grumpy:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("every attribute raises")


class Item(marshmallow.Schema):
    label = fields.Str(required=True)
    score = fields.Float(required=True)


class Page(marshmallow.Schema):
    items = fields.List(fields.Nested(Item))
    at = fields.DateTime()
    counts = fields.Dict(keys=fields.Str(), values=fields.Int())
    array = fields.List(fields.List(fields.Float()))


class TestWithoutSchema:
    @pytest.mark.parametrize("value", [{"y": 2}, [1, 2], "text", 3, 2.5, True, None, {}])
    def test_a_json_value_is_sent_as_it_is_in_the_envelope(self, value: Any) -> None:
        assert document(value) == {"status": "OK", "predictions": value}

    def test_numpy_and_times_are_json_values(self) -> None:
        value = {"a": np.arange(3), "t": datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)}
        assert document(value)["predictions"] == {"a": [0, 1, 2], "t": "2020-01-02T00:00:00+00:00"}
        assert document(np.float32(0.5))["predictions"] == 0.5

    @pytest.mark.parametrize(("value", "text"), [(Spoken(), "spoken"), (decimal.Decimal("1.50"), "1.50")])
    def test_any_other_object_is_sent_as_its_text(self, value: Any, text: str) -> None:
        assert document(value)["predictions"] == text

    def test_an_object_inside_a_json_value_has_no_text(self) -> None:
        """FAULTS C05: only what is documented is turned into JSON."""
        assert "predictions.a: type tests.v2.test_answers.Spoken" in refusal({"a": Spoken()}).log

    @pytest.mark.parametrize(
        "value", [Silent(), lambda: 1, Unpicklable(), [1, {len}], types, len, (x for x in "ab"), Silent]
    )
    def test_an_object_without_a_text_of_its_own_never_shows_its_address(self, value: Any) -> None:
        """FAULTS A12: 500 bad_answer, nothing pickled, no address for the client."""
        assert refusal(value).code == "bad_answer"

    def test_a_socket_is_a_bad_answer(self) -> None:
        """FAULTS A12."""
        with socket.socket() as sock:
            refusal(sock)
            refusal({"s": sock})

    def test_an_object_whose_methods_raise_is_a_bad_answer(self) -> None:
        """FAULTS A12: the exception is in the log, the worker goes on."""
        for value in (Mute(), Grumpy(), {"a": Grumpy()}):
            assert "Traceback" in refusal(value).log

    def test_nan_is_an_error_that_names_the_path_in_the_log_only(self) -> None:
        """FAULTS C02."""
        error = refusal({"scores": [0.5, math.nan]})
        assert "predictions.scores[1]" in error.log
        assert "scores" not in error.message

    def test_nan_is_null_by_setting(self) -> None:
        """FAULTS C02."""
        assert document([math.nan, math.inf], nan="null")["predictions"] == [None, None]

    def test_a_number_that_is_nan_is_not_sent_as_its_text(self) -> None:
        refusal(math.nan)

    def test_a_value_that_holds_itself_is_a_bad_answer(self) -> None:
        """FAULTS C06."""
        value: list[Any] = []
        value.append(value)
        refusal(value)

    def test_numbers_of_any_size_and_surrogates_are_sent(self) -> None:
        """FAULTS C03, C04."""
        assert document({"n": 10**4000, "s": "\ud800"})["predictions"] == {"n": 10**4000, "s": "\ud800"}
        refusal({"n": 10**5000})


class TestWithSchema:
    SCHEMA: ClassVar[dict[str, Any]] = {"y": fields.Int(required=True)}

    def test_an_answer_that_fits_is_sent_without_envelope(self) -> None:
        assert render({"y": 2}, self.SCHEMA).body == b'{"y":2}'

    @pytest.mark.parametrize(
        "value",
        [{"y": "x"}, {}, {"y": 1, "z": 2}, None, "text", 5, [], [{"y": 2}], {"y": None}, np.arange(3), Spoken()],
    )
    def test_an_answer_that_does_not_fit_is_a_bad_answer(self, value: Any) -> None:
        """FAULTS C01: unknown keys too."""
        assert refusal(value, self.SCHEMA).status == 500

    def test_the_field_path_is_in_the_log_only(self) -> None:
        """FAULTS C01."""
        error = refusal({"items": [{"label": "a", "score": 1}, {"label": "b", "score": "much"}]}, Page)
        assert error.message == "The model's answer does not fit its schema."
        assert error.log == "items.1.score: Not a valid number."

    def test_numpy_and_times_fit_by_what_the_client_reads(self) -> None:
        at = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
        value = {
            "at": at,
            "counts": {1: np.int64(2)},
            "array": np.eye(2),
            "items": ({"label": "a", "score": np.float32(1)},),
        }
        assert document(value, Page) == {
            "at": "2020-01-02T00:00:00+00:00",
            "counts": {"1": 2},
            "array": [[1, 0], [0, 1]],
            "items": [{"label": "a", "score": 1.0}],
        }

    def test_nan_does_not_fit(self) -> None:
        """FAULTS C02."""
        refusal({"label": "a", "score": math.nan}, Item)
        refusal({"label": "a", "score": math.nan}, Item, nan="null")

    @pytest.mark.parametrize("schema", [Item, Item(), {"label": fields.Str(), "score": fields.Float()}])
    def test_a_schema_may_be_a_class_an_instance_or_a_dict(self, schema: Any) -> None:
        assert document({"label": "a", "score": 1}, schema) == {"label": "a", "score": 1}

    def test_fields_may_belong_to_another_schema_and_have_any_name(self) -> None:
        bound = Item().fields["label"]
        assert document({"label": "a", "top-1 (%)": 2}, {"label": bound, "top-1 (%)": fields.Int()})
        assert bound.parent is not None, "the author's own field is left alone"

    def test_a_schema_of_many_takes_a_list(self) -> None:
        schema = Item(many=True)
        assert document([{"label": "a", "score": 1}], schema) == [{"label": "a", "score": 1}]
        assert refusal([{"label": "a", "score": "x"}], schema).log == "0.score: Not a valid number."
        refusal({"label": "a", "score": 1}, schema)

    def test_unknown_keys_are_let_through_where_the_schema_says_so(self) -> None:
        class Open(Item):
            class Meta:
                unknown = marshmallow.INCLUDE

        assert document({"label": "a", "score": 1, "more": 2}, Open)["more"] == 2

    def test_fields_that_are_only_for_answers_are_part_of_an_answer(self) -> None:
        class Answer(marshmallow.Schema):
            y = fields.Int(dump_only=True)

        author = Answer()
        assert document({"y": 1}, author) == {"y": 1}
        assert "y" not in author.load_fields, "the author's own schema is left alone"

    def test_a_validator_that_raises_is_a_bad_answer(self) -> None:
        def broken(value: Any) -> bool:
            raise KeyError(value)

        assert "KeyError" in refusal({"y": 1}, {"y": fields.Int(validate=broken)}).log

    def test_a_long_list_of_violations_is_cut(self) -> None:
        log = refusal([{"label": "a", "score": "x"}] * 1000, Item(many=True)).log
        assert log.count("Not a valid number") == 20

    @pytest.mark.parametrize("schema", [5, "Item", int, {}, {"y": int}, {"y": fields.Int}, {1: fields.Int()}, [Item]])
    def test_a_schema_that_is_none_is_refused_at_the_start(self, schema: Any) -> None:
        """FAULTS B12: the model fails with a sentence that says what is right."""
        with pytest.raises(ContractError, match=r"^schema.*(fields|field)"):
            Renderer(schema)


class TestOtherMediaTypes:
    def test_text_is_sent_as_utf8_and_says_so(self) -> None:
        answer = render("Zürich", media_type="text/csv")
        assert (answer.content_type, answer.body) == ("text/csv; charset=utf-8", "Zürich".encode())
        assert render("<a/>", media_type="application/xml").content_type == "application/xml"
        assert render("a", media_type="text/csv; charset=utf-8").content_type == "text/csv; charset=utf-8"

    def test_text_that_no_encoding_holds_is_a_bad_answer(self) -> None:
        """FAULTS C04."""
        refusal("\ud800", media_type="text/plain")

    @pytest.mark.parametrize(
        "value", [b"\x89PNG", bytearray(b"\x89PNG"), memoryview(b"\x89PNG"), io.BytesIO(b"\x89PNG")]
    )
    def test_bytes_are_sent_with_the_chosen_type(self, value: Any) -> None:
        answer = render(value, media_type="image/png", media_types=(JSON, "image/png"))
        assert (answer.content_type, answer.body, answer.file) == ("image/png", b"\x89PNG", None)

    def test_an_array_is_sent_as_npy_where_that_was_chosen(self) -> None:
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        answer = render(array, media_type="application/x-npy", media_types=(JSON, "application/x-npy"))
        assert np.array_equal(np.load(io.BytesIO(answer.body)), array)
        refusal(np.array([{}], dtype=object), media_type="application/x-npy")
        refusal([1, 2], media_type="application/x-npy")

    def test_json_by_another_name_has_no_envelope(self) -> None:
        answer = render({"type": "Point"}, media_type="application/geo+json")
        assert (answer.content_type, answer.body) == ("application/geo+json", b'{"type":"Point"}')
        assert render({"y": 1}, media_type="application/json; charset=utf-8").content_type == JSON

    @pytest.mark.parametrize("value", [{"y": 1}, [1], None, 5, np.eye(2), Spoken()])
    def test_what_cannot_be_written_in_the_chosen_type_names_both(self, value: Any) -> None:
        error = refusal(value, media_type="image/png", media_types=(JSON, "image/png"))
        assert "image/png" in error.message
        assert type(value).__name__ in error.log
        assert "return bytes (a picture saved into an io.BytesIO) or a file of that type" in error.log
        error = refusal(value, media_type="text/csv", media_types=(JSON, "text/csv"))
        assert "return text, bytes or a file of that type" in error.log

    @pytest.mark.parametrize("media_type", ["image/png", "IMAGE/PNG; q=1", "audio/wav", "video/mp4", "application/zip"])
    def test_a_text_is_not_sent_as_a_picture(self, media_type: str) -> None:
        """The name of a file is not its content: https://github.com/replicate/cog/issues/1759."""
        error = refusal("/tmp/picture.png", media_type=media_type, media_types=(JSON, media_type))
        assert "return its bytes, or a pathlib.Path or an OutputFile of its file" in error.log
        assert render("%PDF-1.4\n", media_type="application/pdf", media_types=(JSON, "application/pdf")).body
        for text_type in ("image/svg+xml", "text/csv", "application/octet-stream", "application/xml"):
            assert render("<svg/>", media_type=text_type, media_types=(JSON, text_type)).body == b"<svg/>"

    @pytest.mark.parametrize(
        ("value", "asked", "content_type"),
        [
            (b"\x89PNG\r\n\x1a\n", "image/*", "image/png"),
            (memoryview(b"GIF89a"), "image/gif", "image/gif"),
            (io.BytesIO(b"II*\0"), "image/*", "image/tiff"),
            (b"", "image/*", "application/octet-stream"),
            (b"", "image/x-y", "image/x-y"),
            (b"%PDF-1.7", "image/*", "application/octet-stream"),
            ("<svg/>", "image/*", "application/octet-stream"),
            ("<svg>", "image/*", "image/svg+xml"),
            ("words", "image/*", "application/octet-stream"),
            ("words", "text/*", "text/plain; charset=utf-8"),
            ("words", "Text/Csv", "Text/Csv; charset=utf-8"),
            (b"words", "text/*", "text/plain"),
            (b"", "text/*", "text/plain"),
            ("\xe9".encode() * 300, "text/*", "text/plain"),
            (b"a" + "\xe9".encode() * 300, "text/*", "text/plain"),
            (b"words", "text/csv", "text/csv"),
            (b"\xff\xfe", "text/*", "application/octet-stream"),
            (b"a\0b", "text/*", "application/octet-stream"),
            (b"<!DOCTYPE html><p>", "text/*", "text/html"),
            (b"\x93NUMPY\1", "application/*", "application/x-npy"),
            (b"words", "application/*", "application/octet-stream"),
            (b"PK\x03\x04", "application/*", "application/zip"),
            ({"a": 1}, "application/*", JSON),
            ("words", "application/*", JSON),
        ],
    )
    def test_of_a_range_the_content_says_the_type(self, value: Any, asked: str, content_type: str) -> None:
        offered = ("image/*", "text/*", "application/*")
        assert render(value, media_type=asked, media_types=offered).content_type == content_type

    @pytest.mark.parametrize("value", [{"a": 1}, [1], None, 1.5])
    def test_what_is_no_picture_is_not_sent_as_one(self, value: Any) -> None:
        assert "image/*" in refusal(value, media_type="image/*", media_types=(JSON, "image/*")).message

    @pytest.mark.parametrize(
        "media_type", ["", "png", "image/png\r\nX: y", "image /png", "a/" + "b" * 300, "text/h\xe4", 5]
    )
    def test_a_media_type_that_is_none_is_refused_at_the_start(self, media_type: Any) -> None:
        """FAULTS C10: nothing of it reaches a header."""
        with pytest.raises(ContractError, match="no media type"):
            Renderer(None, media_types=(JSON, media_type))


class TestBytesWhereJsonWasChosen:
    def test_a_model_that_declares_nothing_answers_what_it_likes(self) -> None:
        assert render(b"\x00").content_type == "application/octet-stream"

    def test_the_name_of_what_is_in_memory_says_its_type(self) -> None:
        file = io.BytesIO(b"a,b")
        file.name = "table.csv"
        assert render(file).content_type == "text/csv"

    @pytest.mark.parametrize("options", [{"media_types": (JSON, "image/png")}, {"schema": {"y": fields.Int()}}])
    def test_bytes_must_be_json_where_the_model_promises_it(self, options: Any) -> None:
        answer = render(b'{"y": 1}', **options)
        assert (answer.content_type, answer.body) == (JSON, b'{"y": 1}')
        for wrong in (b"\x89PNG", b"", b"NaN", b'{"y": 1} 2'):
            assert "not JSON" in refusal(wrong, **options).log

    def test_json_in_bytes_is_validated_too(self) -> None:
        """FAULTS C01."""
        assert refusal(b'{"y": "x"}', {"y": fields.Int()}).log == "y: Not a valid integer."


@pytest.mark.parametrize("value", [{"y": 2}, b"\x00", "text", {"n": 2**70, "s": "\ud800"}])
def test_every_answer_crosses_the_process_border(value: Any) -> None:
    answer = render(value)
    assert decode_server_bound(bytes(encode(Answers([answer]))[0])[8:]) == Answers([answer])


def test_one_renderer_answers_after_a_bad_answer() -> None:
    """FAULTS C01: the worker is kept."""
    renderer = Renderer({"y": fields.Int()})
    with pytest.raises(BadAnswer):
        renderer.render(1, {"y": "x"}, JSON)
    assert renderer.render(2, {"y": 1}, JSON) == Answer(2, JSON, b'{"y":1}')
