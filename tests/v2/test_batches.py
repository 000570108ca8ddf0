"""Valid calls as batches: what goes together, and what becomes of a batch that fails."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from modelserve import errors
from modelserve.messages import Call
from modelserve.v2 import fields
from modelserve.v2.failures import MODEL_ERROR
from modelserve.v2.predictor import BAD_BATCH, Predictor
from tests.v2.running import Batching, answered, call, failed, failure, made, predictions, run


class TestBatches:
    def test_all_valid_calls_go_together(self) -> None:
        model = Batching()
        answers = answered(model, [call(1, 1), call(2, "x"), call(3, 3)])
        assert model.batches == [[1, 3]]
        assert (predictions(answers[1]), predictions(answers[3])) == (2, 4)
        assert failure(answers[2]).status == 422

    def test_without_a_valid_call_the_model_is_not_asked(self) -> None:
        model = Batching()
        assert failure(answered(model, [call(1, "x")])[1]).status == 422
        assert model.batches == []

    def test_a_batch_that_raises_is_run_again_call_by_call(self) -> None:
        """FAULTS O03. The model has changed its arguments by then: each call gets new ones."""
        model = Batching()
        answers = answered(model, [call(1, 1), call(2, -1), call(3, 3)])
        assert model.batches == [[1, -1, 3], [1], [-1], [3]]
        assert (predictions(answers[1]), predictions(answers[3])) == (2, 4)
        assert failure(answers[2]).message == MODEL_ERROR
        assert "secret" in failure(answers[2]).log

    def test_one_call_that_raises_is_not_run_again(self) -> None:
        model = Batching()
        assert failed(model, call(1, -1)).message == MODEL_ERROR
        assert model.batches == [[-1]]

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), errors.BadAnswer("x")])
    def test_a_batch_that_would_end_the_process_is_run_again_too(self, error: BaseException) -> None:
        """FAULTS A05."""

        class Model(Batching):
            def answers(self, values: list[int]) -> Any:
                if len(values) > 1:
                    raise error
                return values

        assert sorted(map(predictions, answered(Model(), [call(1, 5), call(2, 6)]).values())) == [5, 6]

    @pytest.mark.parametrize(
        ("item", "status", "message"),
        [
            (ValueError("secret"), 500, MODEL_ERROR),
            (SystemExit(3), 500, MODEL_ERROR),
            (errors.BadRequest("Too dark."), 400, "Too dark."),
            (web.HTTPBadRequest(reason="Too dark."), 400, "Too dark."),
        ],
    )
    def test_an_exception_as_an_item_is_as_if_predict_had_raised_it(
        self, item: BaseException, status: int, message: str
    ) -> None:
        class Model(Batching):
            def answers(self, values: list[int]) -> Any:
                return [item if value == 2 else value for value in values]

        model = Model()
        answers = answered(model, [call(1, 1), call(2, 2), call(3, 3)])
        assert len(model.batches) == 1
        assert (predictions(answers[1]), predictions(answers[3])) == (1, 3)
        found = failure(answers[2])
        assert (found.status, found.message) == (status, message)

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            ([1], "1 answers"),
            ((1, 2, 3), "3 answers"),
            (None, "a NoneType"),
            ("ab", "a str"),
            ({"a": 1, "b": 2}, "a dict"),
        ],
    )
    def test_a_wrong_number_of_answers_answers_nobody(self, returned: Any, said: str) -> None:
        """FAULTS O01: they are not run again, since nothing says that one call is at fault."""
        model = made(predict_batch=lambda calls: returned)
        for answer in answered(model, [Call(1), Call(2)]).values():
            found = failure(answer)
            assert (found.code, found.message) == ("bad_answer", BAD_BATCH)
            assert f"2 calls, and predict_batch returned {said};" in found.log

    def test_a_list_that_lies_about_itself_is_the_models_failure(self) -> None:
        class Liar(list[Any]):
            def __len__(self) -> int:
                return 2

            def __iter__(self) -> Any:
                raise SystemExit(3)

        assert failed(made(predict_batch=lambda calls: Liar())).message == MODEL_ERROR

    def test_one_answer_that_cannot_be_written_does_not_spoil_the_others(self) -> None:
        """FAULTS C05."""
        model = made(predict_batch=lambda calls: ["a", object(), {"b": 1}])
        answers = answered(model, [Call(1), Call(2), Call(3)])
        assert failure(answers[2]).code == "bad_answer"
        assert (predictions(answers[1]), predictions(answers[3])) == ("a", {"b": 1})

    @pytest.mark.parametrize("error", [RuntimeError("class"), SystemExit(3)])
    def test_one_answer_whose_class_cannot_be_asked_for_does_not_end_the_worker(self, error: BaseException) -> None:
        class Classless:
            @property  # type: ignore[misc]
            def __class__(self) -> Any:
                raise error

        class Model(Batching):
            def answers(self, values: list[int]) -> Any:
                return [Classless() if value == 2 else value for value in values]

        answers = answered(Model(), [call(1, 1), call(2, 2), call(3, 3)])
        assert (predictions(answers[1]), predictions(answers[3])) == (1, 3)
        assert failure(answers[2]).status == 500

    def test_a_model_with_both_is_only_asked_for_batches(self) -> None:
        model = made(predict=lambda: "one", predict_batch=lambda calls: ["many"] * len(calls))
        assert predictions(answered(model, [Call(1)])[1]) == "many"

    def test_a_field_that_ends_the_process_costs_its_call_alone(self) -> None:
        """FAULTS A05."""

        def deadly(value: int) -> None:
            if value == 2:
                raise SystemExit(3)

        class Model(Batching):
            def get_predict_args(self) -> dict[str, Any]:
                return {"x": fields.Int(validate=deadly)}

        answers = answered(Model(), [call(1, 1), call(2, 2)])
        assert predictions(answers[1]) == 2
        assert failure(answers[2]).message == MODEL_ERROR


class TestKindsOfBatches:
    def test_a_key_that_raises_or_cannot_be_compared_costs_its_call_alone(self) -> None:
        class Model(Batching):
            def batch_key(self, arguments: dict[str, int]) -> Any:
                return {1: "a", 2: "b", 3: "a", 4: []}[arguments["x"]]

        model = Model()
        answers = answered(model, [call(number, number) for number in range(1, 6)])
        assert model.batches == [[1, 3], [2]]
        assert {number for number, answer in answers.items() if answer.failure} == {4, 5}

    def test_no_batch_is_larger_than_the_model_or_the_deployment_says(self) -> None:
        class Model(Batching):
            max_batch_size = 3

        for chosen, sizes in ((0, [3, 2]), (4, [4, 1]), (1, [1] * 5)):
            model = Model()
            answered(model, [call(number, number) for number in range(5)], max_batch_size=chosen)
            assert [len(batch) for batch in model.batches] == sizes

    def test_where_memory_was_not_enough_the_halves_are_run_first(self) -> None:
        class Model(Batching):
            def answers(self, values: list[int]) -> Any:
                if len(values) > 2:
                    raise errors.OutOfMemory("No room.")
                return values

        model = Model()
        answers = answered(model, [call(number, number) for number in range(5)])
        assert model.batches == [[0, 1, 2, 3, 4], [0, 1, 2], [0], [1], [2], [3, 4]]
        assert all(answer.failure is None for answer in answers.values())

    def test_an_asynchronous_one_is_awaited(self) -> None:
        async def predict_batch(calls: list[Any]) -> list[int]:
            return [len(calls)] * len(calls)

        def wait(coroutine: Any) -> Any:
            with pytest.raises(StopIteration) as end:
                coroutine.send(None)
            return end.value.value

        predictor = Predictor(made(predict_batch=predict_batch), wait=wait)
        assert not predictor.is_async
        assert [predictions(answer) for answer in run(predictor, [Call(1), Call(2)])] == [2, 2]
        assert failed(made(predict_batch=predict_batch)).code == "contract", "nobody awaits it here"
