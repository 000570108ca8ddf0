"""Generators as streams: the form by Accept, each item, the end, and errors before and in the middle."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from marshmallow.validate import OneOf

from modelserve import errors
from modelserve.messages import Answer, Call, Part
from modelserve.v2 import fields
from modelserve.v2.failures import MODEL_ERROR
from modelserve.v2.predictor import Parsed, Predictor, PredictorOptions
from modelserve.v2.streaming import Stream, offered

NDJSON = "application/x-ndjson"


class Yielding:
    """Yields what it is made with; raises an item that is an exception."""

    def __init__(self, *items: Any, schema: Any = None, accept: Any = None) -> None:
        self.items = items
        self.schema = schema
        self.accept = accept
        self.closed = False

    def get_predict_args(self) -> dict[str, Any]:
        return {"accept": self.accept} if self.accept else {}

    def predict(self, accept: str = "") -> Iterator[Any]:
        try:
            for item in self.items:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.closed = True


def predicted(model: Any, accept: str = "", query: str = "", **options: Any) -> Answer | Stream:
    predictor = Predictor(model, PredictorOptions(**options))
    item = predictor.parse(Call(7, query=query, accept=accept))
    return predictor.run(item) if isinstance(item, Parsed) else item


def streamed(model: Any, accept: str = "", **options: Any) -> tuple[str, list[Part]]:
    """Return a stream's content type and all its parts."""
    stream = predicted(model, accept, **options)
    assert isinstance(stream, Stream), stream
    assert stream.answer.stream
    parts: list[Part] = []
    while not (parts and parts[-1].last):
        parts.append(stream.next_part())
    assert {part.id for part in parts} == {7}
    stream.items.close()
    return stream.answer.content_type, parts


def body(model: Any, accept: str = "", **options: Any) -> tuple[str, bytes]:
    """Return the content type and the body of a stream that ends well."""
    content_type, parts = streamed(model, accept, **options)
    assert parts[-1].failure is None, parts[-1].failure
    return content_type, b"".join(part.data for part in parts)


class TestForms:
    @pytest.mark.parametrize("accept", ["", "*/*", "text/event-stream", "text/*", "image/png;q=1, */*;q=0.1"])
    def test_events_are_the_default(self, accept: str) -> None:
        assert body(Yielding({"a": 1}, "two\nlines", None), accept) == (
            "text/event-stream",
            b'data: {"a":1}\n\ndata: "two\\nlines"\n\ndata: null\n\n',
        )

    @pytest.mark.parametrize("accept", [NDJSON, "application/jsonl"])
    def test_lines_of_json_where_asked_for(self, accept: str) -> None:
        assert body(Yielding({"a": 1}, "b"), accept) == (accept, b'{"a":1}\n"b"\n')

    @pytest.mark.parametrize(
        "accept", ["application/json", "application/json;q=0.5, text/event-stream;q=0.4", "application/json, */*;q=0.1"]
    )
    def test_a_client_that_prefers_json_gets_one_array(self, accept: str) -> None:
        assert body(Yielding({"a": 1}, 2), accept) == ("application/json", b'[{"a":1},2]')

    def test_an_array_of_no_items_is_empty(self) -> None:
        assert body(Yielding(), "application/json") == ("application/json", b"[]")

    def test_an_array_of_a_json_type_of_the_models_own(self) -> None:
        model = Yielding({"a": 1}, 2, accept=fields.Str(validate=_one_of("application/geo+json")))
        assert body(model) == ("application/geo+json", b'[{"a":1},2]')

    def test_a_document_that_the_model_writes_itself_is_left_alone(self) -> None:
        model = Yielding('{"a":', "1}", accept=fields.Str(validate=_one_of("application/geo+json")))
        assert body(model) == ("application/geo+json", b'{"a":1}')

    @pytest.mark.parametrize("accept", ["application/json", NDJSON, "text/event-stream"])
    def test_bytes_are_refused_to_a_client_that_takes_what_they_cannot_be(self, accept: str) -> None:
        answer = predicted(Yielding(b"a"), accept)
        assert isinstance(answer, Answer)
        assert answer.failure is not None
        assert (answer.failure.status, answer.failure.code) == (406, "not_acceptable")

    def test_bytes_are_sent_to_a_client_that_takes_anything_after_json(self) -> None:
        assert body(Yielding(b"a"), "application/json, */*;q=0.1") == ("application/octet-stream", b"a")

    @pytest.mark.parametrize(("accept", "content_type"), [("video/*", "video/webm"), ("video/x-y", "video/webm")])
    def test_the_first_bytes_say_the_type_within_a_range(self, accept: str, content_type: str) -> None:
        choices = fields.Str(validate=OneOf(["application/json", "video/*"]))
        model = Yielding(b"\x1aE\xdf\xa3", b"more", accept=choices)
        assert body(model, accept) == (content_type, b"\x1aE\xdf\xa3more")

    @pytest.mark.parametrize("accept", ["", "*/*", "application/octet-stream", "application/*"])
    def test_bytes_go_as_they_are(self, accept: str) -> None:
        assert body(Yielding(b"\x00\n", bytearray(b"b"), memoryview(b"c")), accept) == (
            "application/octet-stream",
            b"\x00\nbc",
        )

    def test_text_goes_as_it_is_where_asked_for(self) -> None:
        assert body(Yielding("Zür", "ich\n"), "text/plain") == ("text/plain; charset=utf-8", "Zürich\n".encode())

    def test_what_is_neither_bytes_nor_text_is_a_line_of_json_among_chunks(self) -> None:
        assert body(Yielding("a", {"b": 1}, b"c"), "text/plain")[1] == b'a{"b":1}\nc'

    def test_a_media_type_of_the_models_own_gives_chunks(self) -> None:
        model = Yielding(b"RIFF", b"data", accept=fields.Str(validate=_one_of("audio/wav", "audio/ogg")))
        assert body(model) == ("audio/wav", b"RIFFdata")
        assert body(model, "audio/ogg") == ("audio/ogg", b"RIFFdata")

    def test_a_model_with_media_types_of_its_own_still_streams_events_where_asked_for(self) -> None:
        model = Yielding("a", accept=fields.Str(validate=_one_of("text/csv", "audio/ogg")))
        assert body(model, "text/event-stream") == ("text/event-stream", b'data: "a"\n\n')
        assert body(model) == ("text/csv", b"a")

    def test_what_the_client_names_in_the_models_own_argument_is_what_it_gets(self) -> None:
        model = Yielding("a", accept=fields.Str(validate=_one_of("text/csv", "audio/ogg")))
        for accept in ("", "image/png"):
            stream = predicted(model, accept, query="accept=audio/ogg")
            assert isinstance(stream, Stream) == (not accept)

    def test_a_type_in_which_nothing_is_streamed_is_refused(self) -> None:
        answer = predicted(Yielding(1), "image/png")
        assert isinstance(answer, Answer)
        assert answer.failure is not None
        assert answer.failure.status == 406

    def test_an_empty_stream_is_only_its_end(self) -> None:
        assert streamed(Yielding()) == ("text/event-stream", [Part(7, last=True)])

    def test_what_is_offered_begins_with_the_default(self) -> None:
        assert offered(("application/json",))[0] == "text/event-stream"
        assert offered(("audio/wav",)) == ("audio/wav", "text/event-stream", NDJSON, "application/jsonl")


class TestItems:
    @pytest.mark.parametrize("item", [float("nan"), object(), b"bytes"])
    def test_one_that_cannot_be_written_ends_the_stream_uncleanly(self, item: Any) -> None:
        _, parts = streamed(Yielding(1, item, 3), NDJSON)
        assert [part.data for part in parts] == [b"1\n", b""]
        failure = parts[-1].failure
        assert failure is not None
        assert failure.code == "bad_answer"

    def test_nan_is_null_where_the_deployment_says_so(self) -> None:
        assert body(Yielding(float("nan")), NDJSON, nan_answers="null")[1] == b"null\n"

    def test_each_is_validated_against_the_schema(self) -> None:
        _, parts = streamed(Yielding({"y": 1}, {"z": 1}, schema={"y": fields.Int(required=True)}), NDJSON)
        assert parts[0].data == b'{"y":1}\n'
        failure = parts[1].failure
        assert failure is not None
        assert failure.code == "bad_answer"
        assert "z" in failure.log

    def test_one_over_the_limit_ends_the_stream_uncleanly(self) -> None:
        _, parts = streamed(Yielding(b"x" * 10, b"x" * 11), max_answer_bytes=10)
        assert parts[0].data == b"x" * 10
        assert parts[1].failure is not None
        assert "max_answer_bytes is 10" in parts[1].failure.log

    def test_a_plain_generator_has_no_envelope(self) -> None:
        assert body(Yielding({"y": 1}), NDJSON)[1] == b'{"y":1}\n'


class TestErrors:
    def test_before_the_first_item_it_is_an_ordinary_failure(self) -> None:
        answer = predicted(Yielding(errors.TooLarge("Too large.")))
        assert isinstance(answer, Answer)
        assert answer.failure is not None
        assert (answer.failure.status, answer.failure.message) == (413, "Too large.")

    @pytest.mark.parametrize("accept", ["", NDJSON, "application/json", "text/plain"])
    def test_a_first_item_that_cannot_be_sent_is_one_too(self, accept: str) -> None:
        for model in (Yielding(math.nan, 1), Yielding(object()), Yielding({"y": "three"}, schema={"y": fields.Int()})):
            answer = predicted(model, accept)
            assert isinstance(answer, Answer)
            assert answer.failure is not None
            assert (answer.failure.status, answer.failure.code) == (500, "bad_answer")

    @pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
    def test_in_mid_stream_it_is_an_event_with_a_fixed_sentence(self, error: BaseException) -> None:
        """FAULTS C09."""
        _, parts = streamed(Yielding(1, 2, 3, error))
        assert [part.last for part in parts] == [False] * 3 + [True]
        event, data, *rest = parts[-1].data.decode().split("\n")
        assert (event, rest) == ("event: error", ["", ""])
        assert json.loads(data.removeprefix("data: ")) == {"message": MODEL_ERROR, "code": "model_error"}
        assert parts[-1].failure is not None
        assert "secret" not in parts[-1].failure.message

    def test_one_that_breaks_the_gpu_is_remembered(self) -> None:
        predictor = Predictor(Yielding(1, RuntimeError("CUDA error: unspecified launch failure")))
        stream = predictor.run(Parsed(7, {}, "application/json", "", 0))
        assert isinstance(stream, Stream)
        stream.next_part()
        assert not predictor.is_broken
        stream.next_part()
        assert predictor.is_broken

    def test_an_array_is_never_closed(self) -> None:
        _, parts = streamed(Yielding(1, ValueError("secret")), "application/json")
        assert [part.data for part in parts] == [b"[1", b""]
        assert parts[-1].failure is not None

    def test_lines_and_chunks_end_without_a_word(self) -> None:
        for accept in (NDJSON, "text/plain"):
            _, parts = streamed(Yielding("a", ValueError()), accept)
            assert (parts[-1].data, parts[-1].failure is None) == (b"", False)


class TestClosing:
    def test_the_generator_can_be_closed_before_its_end(self) -> None:
        model = Yielding(1, 2, 3)
        stream = predicted(model)
        assert isinstance(stream, Stream)
        stream.next_part()
        stream.items.close()
        assert model.closed

    def test_nothing_is_made_before_it_is_asked_for(self) -> None:
        made: list[int] = []

        class Model:
            def predict(self) -> Iterator[int]:
                for number in range(3):
                    made.append(number)
                    yield number

        stream = predicted(Model())
        assert isinstance(stream, Stream)
        assert made == [0], "the first item tells whether it fails at once"
        stream.next_part()
        assert made == [0]


def test_a_function_that_returns_a_generator_streams_events() -> None:
    class Model:
        def predict(self) -> Iterator[int]:
            return (number for number in range(2))

    assert body(Model()) == ("text/event-stream", b"data: 0\n\ndata: 1\n\n")


def finished(coroutine: Any) -> Any:
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class TestAsynchronous:
    def test_an_asynchronous_generator_streams_as_any_other(self) -> None:
        class Model:
            async def predict(self) -> Any:
                yield 1
                yield 2

        predictor = Predictor(Model())
        assert predictor.is_async
        item = predictor.parse(Call(7, accept=NDJSON))
        assert isinstance(item, Parsed)
        stream = finished(predictor.run_async(item))
        parts = [finished(stream.next_part_async()) for _ in range(3)]
        assert parts == [Part(7, b"1\n"), Part(7, b"2\n"), Part(7, last=True)]

    def test_an_empty_one_is_only_its_end(self) -> None:
        class Model:
            async def predict(self) -> Any:
                return
                yield

        predictor = Predictor(Model())
        stream = finished(predictor.run_async(Parsed(7, {}, "application/json", "", 0)))
        assert finished(stream.next_part_async()) == Part(7, last=True)

    def test_an_error_of_its_own_is_left_to_the_one_who_awaits(self) -> None:
        class Model:
            async def predict(self) -> Any:
                yield 1
                raise ValueError("secret")

        predictor = Predictor(Model())
        stream = finished(predictor.run_async(Parsed(7, {}, "application/json", "", 0)))
        finished(stream.next_part_async())
        with pytest.raises(ValueError, match="secret") as caught:
            finished(stream.next_part_async())
        assert stream.broken(caught.value).failure.code == "model_error"


def _one_of(*choices: str) -> Callable[[Any], Any]:
    return OneOf(choices)
