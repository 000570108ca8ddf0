"""A model's trainings without a worker: arguments validated and told, outputs as JSON, failures in words."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from marshmallow.validate import OneOf

from modelserve.errors import BadAnswer, Conflict, InvalidArguments
from modelserve.messages import Answer, Call, FilePart
from modelserve.v2 import fields
from modelserve.v2.failures import OUT_OF_MEMORY
from modelserve.v2.predictor import Parsed, Predictor, PredictorOptions
from modelserve.v2.trainings import TRAIN_ERROR, Trainer
from tests.v2.running import Batching, body, failure, made

META = {"name": "T", "description": "Trains."}


class Odd:
    """What JSON has no word for."""


class Worded(Odd):
    """The same, with a text of its own."""

    def __str__(self) -> str:
        return "worded"


def takes_all(**values: Any) -> None:
    """Do nothing with any arguments."""


def ask(**values: Any) -> Call:
    return Call(1, content_type="application/json", body=json.dumps(values).encode(), operation="train")


def validated(model: Any, call: Call, **options: Any) -> Any:
    answer = Predictor(model, PredictorOptions(**options)).parse(call)
    assert not isinstance(answer, Parsed), "it is answered without a turn of the model"
    return answer


def trains(**declared: Any) -> Any:
    return made(get_train_args=lambda: declared, train=print)


def trainer(train: Any, **options: Any) -> Trainer:
    return Predictor(made(train=train), PredictorOptions(**options)).trainer


class TestValidation:
    def test_the_arguments_are_answered_as_json_and_train_is_not_called(self) -> None:
        def train(**values: Any) -> None:
            raise AssertionError("it is not to be called")

        declared = {"epochs": fields.Int(load_default=3), "rate": fields.Float(required=True)}
        model = made(get_train_args=lambda: declared, train=train)
        answer = validated(model, ask(rate="0.5"))
        assert (answer.id, answer.content_type) == (1, "application/json")
        assert body(answer) == {"epochs": 3, "rate": 0.5}

    def test_what_is_wrong_is_told_by_field(self) -> None:
        answer = validated(trains(epochs=fields.Int(required=True)), ask(rate=1))
        assert failure(answer).status == 422
        assert set(failure(answer).fields or {}) == {"epochs", "rate"}

    @pytest.mark.parametrize(
        ("accept", "told"),
        [
            ("text/csv", "text/csv"),
            ("", "a/b"),
            ("*/*", "a/b"),
            ("application/json", "a/b"),
            ("text/*;q=0.1", "text/csv"),
        ],
    )
    def test_an_accept_that_is_declared_a_header_is_read_and_never_refused(self, accept: str, told: str) -> None:
        for more in (dict[str, Any](), {"load_default": "a/b"}):
            field = fields.Str(validate=OneOf(["a/b", "text/csv"]), metadata={"location": "headers"}, **more)
            call = Call(1, accept=accept, operation="train")
            assert body(validated(trains(accept=field), call)) == {"accept": told}

    def test_an_accept_that_is_no_header_is_not_read_from_one(self) -> None:
        field = fields.Str(validate=OneOf(["a/b", "text/csv"]))
        assert body(validated(trains(accept=field), Call(1, accept="text/csv", operation="train"))) == {"accept": "a/b"}

    def test_unknown_arguments_may_be_ignored(self) -> None:
        model = trains(epochs=fields.Int())
        assert body(validated(model, ask(epochs=1, more=2), unknown_arguments="ignore")) == {"epochs": 1}

    @pytest.mark.parametrize(
        "model", [made(predict=print), Batching(), made(get_train_args=dict)], ids=["predicts", "batches", "declares"]
    )
    def test_a_model_without_train_says_so(self, model: Any) -> None:
        found = failure(validated(model, ask()))
        assert (found.status, found.code) == (501, "not_implemented")
        assert found.message == "This model does not provide train."

    def test_a_model_may_train_without_predicting_and_without_arguments(self) -> None:
        model = made(train=print, get_metadata=lambda: META)
        assert body(validated(model, ask())) == {}
        description = Predictor(model).describe("t", {})
        assert (description.implements, description.predict, description.train) == (["get_metadata", "train"], [], [])
        answer = Predictor(model).parse(Call(2))
        assert not isinstance(answer, Parsed)
        assert failure(answer).code == "not_implemented"

    def test_what_train_reads_of_the_headers_is_asked_for(self) -> None:
        header = {"who": fields.Str(metadata={"location": "headers"})}
        other = {"token": fields.Str(metadata={"location": "headers"}), **header}
        predicts = {"get_predict_args": lambda: other, "predict": takes_all, "get_metadata": lambda: META}
        model = made(**predicts, get_train_args=lambda: header, train=takes_all)
        assert Predictor(model).describe("t", {}).headers == ["token", "who"]
        call = ask()
        call.headers = {"who": "me"}
        assert body(validated(model, call)) == {"who": "me"}

    def test_the_accept_header_speaks_of_the_job_and_not_of_the_arguments(self) -> None:
        call = ask(accept="image/png")
        call.accept = "text/html"
        assert body(validated(trains(accept=fields.Str(validate=OneOf(["image/png", "image/gif"]))), call)) == {
            "accept": "image/png"
        }

    def test_files_are_told_by_the_names_their_client_gave(self, tmp_path: Path) -> None:
        (tmp_path / "random").write_bytes(b"data")
        parts = [
            FilePart(name, str(tmp_path / "random"), "text/csv", filename, 4)
            for name, filename in [("one", "a.csv"), ("many", "b.csv"), ("many", "c.csv")]
        ]
        call = Call(1, content_type="multipart/form-data", files=parts, form=[("n", "1")], operation="train")
        model = trains(one=fields.File(), many=fields.File(many=True), n=fields.Int())
        assert body(validated(model, call)) == {"one": "a.csv", "many": ["b.csv", "c.csv"], "n": 1}

    def test_values_that_are_no_json_are_told_in_their_words(self) -> None:
        class Strange(fields.Raw):
            def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
                return {"odd": [Odd(), Worded(), {Decimal("0.1")}], "nan": np.float64("nan"), "good": 1}

        told = body(validated(trains(x=Strange(), wait=fields.TimeDelta()), ask(x=1, wait=60)))
        assert told == {"x": {"odd": ["Odd", "worded", ["0.1"]], "nan": None, "good": 1}, "wait": "0:01:00"}

    def test_arguments_that_are_too_large_to_keep_are_refused(self) -> None:
        found = failure(validated(trains(x=fields.Str()), ask(x="x" * 100), max_answer_bytes=100))
        assert (found.status, found.code) == (413, "too_large")
        assert "100 bytes" in found.message

    def test_a_field_that_raises_fails_its_call_alone(self) -> None:
        """A05."""

        class Exits(fields.Raw):
            def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
                raise SystemExit(0)

        assert failure(validated(trains(x=Exits()), ask(x=1))).code == "model_error"


@dataclass
class Result:
    """What a training may return."""

    accuracy: float
    at: datetime.datetime


class TestOutput:
    def test_what_train_returns_is_json(self) -> None:
        when, ident = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), uuid.UUID(int=5)
        returned = {"r": Result(0.5, when), "a": np.array([1, 2]), "s": np.float32(0.5), "u": ident, "n": None}
        output = trainer(lambda epochs: returned).train({"epochs": 1})
        assert json.loads(output) == {
            "r": {"accuracy": 0.5, "at": "2026-01-02T00:00:00+00:00"},
            "a": [1, 2],
            "s": 0.5,
            "u": str(ident),
            "n": None,
        }

    def test_nothing_is_an_output_and_nan_is_null(self) -> None:
        assert trainer(lambda: None).train({}) == b"null"
        assert trainer(lambda: {"loss": float("nan")}).train({}) == b'{"loss":null}'

    @pytest.mark.parametrize(
        ("returned", "output", "path"),
        [
            ({"deep": [{"bad": Odd()}], "set": {2, 1}}, {"deep": [{"bad": "Odd"}], "set": [1, 2]}, "deep[0].bad: "),
            (b"bytes", "5 bytes", "the answer: type bytes"),
        ],
    )
    def test_what_is_no_json_is_told_by_its_text_and_the_log_says_where(
        self, returned: Any, output: Any, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """H09: the work is done, and what came of it is kept."""
        assert json.loads(trainer(lambda: returned).train({})) == output
        assert path in caplog.text

    def test_what_is_too_large_is_a_bad_answer_that_says_so(self) -> None:
        """H09."""
        with pytest.raises(BadAnswer, match="larger than this service keeps") as caught:
            trainer(lambda: "x" * 100, max_answer_bytes=100).train({})
        assert "it is 102 bytes, and max_answer_bytes is 100" in caught.value.log

    def test_an_asynchronous_train_is_awaited(self) -> None:
        async def train(x: int) -> int:
            return x + 1

        def wait(coroutine: Any) -> Any:
            with pytest.raises(StopIteration) as stopped:
                coroutine.send(None)
            return stopped.value.value

        assert Predictor(made(train=train), wait=wait).trainer.train({"x": 1}) == b"2"

    @pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(0), KeyboardInterrupt()], ids=repr)
    def test_an_exception_is_a_fixed_sentence(self, error: BaseException) -> None:
        """A05."""
        found = trainer(print).failure_of(error)
        assert (found.status, found.code, found.message) == (500, "model_error", TRAIN_ERROR)
        assert type(error).__name__ in found.log

    def test_an_error_of_ours_reaches_the_client(self) -> None:
        found = trainer(print).failure_of(Conflict("Another training writes these weights."))
        assert (found.status, found.message) == (409, "Another training writes these weights.")
        assert trainer(print).failure_of(InvalidArguments({"x": ["Bad."]})).fields == {"x": ["Bad."]}

    def test_too_little_memory_of_the_device_keeps_its_own_sentence(self) -> None:
        error = type("OutOfMemoryError", (RuntimeError,), {"__module__": "torch"})("CUDA out of memory.")
        assert trainer(print).failure_of(error).message == OUT_OF_MEMORY


def test_the_arguments_of_predict_are_checked_without_running_it() -> None:
    class Never:
        def get_predict_args(self) -> dict[str, Any]:
            return {"x": fields.Int(required=True), "accept": fields.Str(validate=OneOf(["text/csv"]))}

        def predict(self, **arguments: Any) -> None:
            raise AssertionError("it was only to be checked")

    predictor = Predictor(Never())
    answer = predictor.parse(Call(7, content_type="application/json", body=b'{"x": "5"}', operation="check"))
    assert isinstance(answer, Answer)
    assert (answer.id, json.loads(answer.body)) == (7, {"x": 5, "accept": "text/csv"})
    for call, status in (
        (Call(operation="check"), 422),
        (Call(query="x=1", accept="image/png", operation="check"), 406),
    ):
        refused = predictor.parse(call)
        assert isinstance(refused, Answer)
        assert refused.failure is not None
        assert refused.failure.status == status
