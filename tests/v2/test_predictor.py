"""A model that runs: one answer for each call, whatever the model does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from modelserve import errors
from modelserve.messages import TEXT_LIMIT, Call
from modelserve.v2 import BaseModel, OutputFile, fields
from modelserve.v2.failures import MODEL_ERROR
from modelserve.v2.predictor import Predictor, PredictorOptions
from tests.running import eventually
from tests.v2.running import answered, body, call, failed, failure, made, predictions, run


class Adder(BaseModel):
    """Adds one, or fails as its argument says."""

    schema = {"y": fields.Int(required=True)}

    def __init__(self) -> None:
        self.warmed = 0

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Adder", "description": "Adds one."}

    def warm(self) -> None:
        self.warmed += 1

    def get_predict_args(self) -> dict[str, Any]:
        return {"x": fields.Int(required=True), "who": fields.Str(metadata={"location": "headers"})}

    def predict(self, x: int, who: str = "") -> Any:
        if x < 0:
            raise ValueError(f"secret {x}")
        return {"y": x + 1}


class Raising(BaseModel):
    """Raises what it is made with."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def get_metadata(self) -> dict[str, Any]:
        return {"name": "Raising", "description": "Raises."}

    def predict(self, **kwargs: Any) -> Any:
        raise self.error


def _touched_ns(path: Path) -> int:
    path.touch()
    return path.stat().st_ctime_ns


class TestOneByOne:
    def test_each_call_is_validated_predicted_and_rendered(self) -> None:
        answers = answered(Adder(), [call(1, 1), call(2, "5"), call(3, 10**3)])
        assert [body(answers[number]) for number in (1, 2, 3)] == [{"y": 2}, {"y": 6}, {"y": 1001}]

    def test_one_bad_call_never_spoils_its_neighbours(self) -> None:
        answers = answered(Adder(), [call(1, 1), call(2, -1), call(3, "x"), call(4, 4)])
        assert (body(answers[1]), body(answers[4])) == ({"y": 2}, {"y": 5})
        assert failure(answers[2]).message == MODEL_ERROR
        assert "secret -1" in failure(answers[2]).log
        assert failure(answers[3]).fields == {"x": ["Not a valid integer."]}

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError()])
    def test_what_would_end_the_process_costs_its_call_alone(self, error: BaseException) -> None:
        """FAULTS A05."""
        found = failed(Raising(error))
        assert (found.status, found.code, found.message) == (500, "model_error", MODEL_ERROR)

    def test_an_exception_that_ends_whoever_looks_at_it_costs_its_call_alone(self) -> None:
        """A12."""

        class Deadly(Exception):
            def __getattribute__(self, name: str) -> Any:
                raise KeyboardInterrupt

        found = failed(Raising(Deadly()))
        assert (found.status, found.code, found.message) == (500, "model_error", MODEL_ERROR)

    def test_an_exception_of_aiohttp_reaches_the_client(self) -> None:
        found = failed(Raising(web.HTTPConflict(reason="Busy.")))
        assert (found.status, found.code, found.message) == (409, "model_error", "Busy.")

    def test_an_error_of_ours_reaches_the_client(self) -> None:
        assert failed(Raising(errors.InvalidArguments({"x": ["\ud800"]}))).fields == {"x": ["\\ud800"]}
        assert failed(Raising(errors.TooLarge("Too large."))).status == 413

    @pytest.mark.parametrize("text", ["\ud800", "x" * 10_000_000])
    def test_any_text_of_an_exception_can_be_sent(self, text: str) -> None:
        """FAULTS C04."""
        assert len(failed(Raising(ValueError(text))).log) < 2 * TEXT_LIMIT

    def test_an_answer_that_breaks_the_schema_is_a_bad_answer(self) -> None:
        """FAULTS C01."""
        found = failed(made(predict=lambda: {"z": 1}, schema={"y": fields.Int()}))
        assert (found.code, found.log) == ("bad_answer", "z: Unknown field.")

    def test_a_value_whose_text_ends_the_process_is_a_failure(self) -> None:
        """FAULTS A12."""

        class Deadly:
            def __str__(self) -> str:
                raise SystemExit(3)

        assert failed(made(predict=Deadly)).status == 500

    def test_a_file_that_the_model_leaves_open_is_closed(self, tmp_path: Any) -> None:
        """Warnings are errors here: a file left open would be one."""
        (tmp_path / "a.txt").write_bytes(b"abc")
        answer = answered(made(predict=lambda: (tmp_path / "a.txt").open("rb")), [Call(1)])[1]
        assert (answer.content_type, answer.filename) == ("text/plain", "a.txt")


class TestLimits:
    def test_an_answer_over_the_limit_is_a_bad_answer(self) -> None:
        model = made(predict=lambda: "x" * 100)
        assert failure(answered(model, [Call(1)], max_answer_bytes=100)[1]).code == "bad_answer"
        assert "max_answer_bytes is 100" in failure(answered(model, [Call(1)], max_answer_bytes=100)[1]).log
        assert predictions(answered(model, [Call(1)], max_answer_bytes=1000)[1]) == "x" * 100

    def test_one_answer_of_a_batch_over_the_limit_costs_its_call_alone(self) -> None:
        model = made(predict_batch=lambda calls: ["x" * 1000, "y"])
        answers = answered(model, [Call(1), Call(2)], max_answer_bytes=100)
        assert failure(answers[1]).code == "bad_answer"
        assert predictions(answers[2]) == "y"

    def test_memory_that_runs_out_is_the_models_error(self) -> None:
        assert failed(Raising(MemoryError())).code == "model_error"

    def test_an_error_that_breaks_the_gpu_is_remembered(self) -> None:
        for text, is_broken in (("oops", False), ("CUDA error: unspecified launch failure", True)):
            predictor = Predictor(Raising(RuntimeError(text)))
            run(predictor, [Call(1)])
            assert predictor.is_broken is is_broken


class TestOptions:
    def test_a_model_without_predict_answers_501(self) -> None:
        for model in (made(), made(predict=None), made(train=print)):
            found = failed(model)
            assert (found.status, found.code, found.log) == (501, "not_implemented", "")

    def test_unknown_arguments_and_nan_are_as_the_deployment_says(self) -> None:
        model = made(predict=lambda: float("nan"))
        assert failed(model, call(1, 1)).fields == {"x": ["Unknown argument. There are none."]}
        options: dict[str, Any] = {"unknown_arguments": "ignore", "nan_answers": "null"}
        assert predictions(answered(model, [call(1, 1)], **options)[1]) is None
        for name in options:
            with pytest.raises(ValueError, match="perhaps"):
                Predictor(model, PredictorOptions(**{**options, name: "perhaps"}))

    def test_files_of_the_scratch_folder_are_deleted_after(self, tmp_path: Any) -> None:
        (tmp_path / "a").touch()
        model = made(predict=lambda: OutputFile(tmp_path / "a"))
        for scratch, delete in ((str(tmp_path), True), ("", False)):
            file = answered(model, [Call(1)], scratch=scratch)[1].file
            assert file is not None
            assert file.delete is delete

    def test_files_that_were_there_when_the_model_was_warm_stay(self, tmp_path: Path) -> None:
        """A model that answers with the same file again and again makes it in warm."""
        old, new = tmp_path / "old", tmp_path / "new"
        files = iter((old, new))
        model = made(warm=old.touch, predict=lambda: OutputFile(next(files)))
        predictor = Predictor(model, PredictorOptions(scratch=str(tmp_path)))
        predictor.warm()
        eventually(
            lambda: _touched_ns(new) > old.stat().st_ctime_ns + 20_000_000
        )  # a file system's clock goes in steps
        kept, once = (answer.file for answer in run(predictor, [Call(1), Call(2)]))
        assert kept is not None
        assert once is not None
        assert (kept.delete, once.delete) == (False, True)

    def test_arguments_may_be_none_at_all(self) -> None:
        model = made(get_predict_args=lambda: None, predict=lambda: 1)
        assert predictions(answered(model, [Call(1)])[1]) == 1

    def test_what_get_predict_args_or_schema_raises_is_not_swallowed(self) -> None:
        """FAULTS B04."""

        class Property:
            @property
            def schema(self) -> Any:
                raise AttributeError("inside")

        def raising() -> Any:
            raise AttributeError("inside")

        for model in (made(get_predict_args=raising), made(get_train_args=raising), Property()):
            with pytest.raises(AttributeError, match="inside"):
                Predictor(model)

    def test_warm_is_run_where_there_is_one(self) -> None:
        model = Adder()
        Predictor(model).warm()
        Predictor(made()).warm()
        assert model.warmed == 1

    def test_what_warm_sets_up_is_what_predicts(self) -> None:
        class Model:
            def predict(self) -> str:
                return "cold"

            def warm(self) -> None:
                self.predict = lambda: "compiled"  # type: ignore[method-assign]

        predictor = Predictor(Model())
        predictor.warm()
        (answer,) = run(predictor, [Call(1)])
        assert predictions(answer) == "compiled"


class TestDescribe:
    def test_it_names_what_the_server_needs(self) -> None:
        description = Predictor(Adder()).describe("adder", {"version": "1.2"})
        assert (description.metadata.name, description.metadata.version) == ("Adder", "1.2")
        assert [argument.name for argument in description.predict] == ["x", "who"]
        assert description.headers == ["who"]
        assert description.implements == ["get_metadata", "warm", "get_predict_args", "predict"]
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(description), type=type(description)) == description

    def test_a_model_that_does_not_predict_publishes_no_arguments(self) -> None:
        model = made(
            get_predict_args=lambda: {"who": fields.Str(metadata={"location": "headers"})},
            get_train_args=lambda: {"epochs": fields.Int()},
            train=lambda epochs=1: None,
        )
        description = Predictor(model).describe("m", {})
        assert (description.predict, description.headers) == ([], [])
        assert [argument.name for argument in description.train] == ["epochs"]
        assert description.max_batch_size == 1
