"""Models that run without a worker: calls in, answers out, and small models for it."""

from __future__ import annotations

import json
import types
from typing import Any

from modelserve.frames import encode
from modelserve.messages import Answer, Answers, Call, Failure, decode_server_bound
from modelserve.v2 import fields
from modelserve.v2.predictor import Parsed, Predictor, PredictorOptions

__all__ = ["Batching", "answered", "body", "call", "failed", "failure", "made", "predictions", "run"]


class Batching:
    """Adds one to many; keeps what it was called with. No class of ours: a model needs none."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def get_predict_args(self) -> dict[str, Any]:
        return {"x": fields.Int(required=True)}

    def predict_batch(self, calls: list[dict[str, Any]]) -> Any:
        values = [call.pop("x") for call in calls]
        self.batches.append(values)
        return self.answers(values)

    def answers(self, values: list[int]) -> Any:
        if min(values) < 0:
            raise ValueError("secret")
        return [value + 1 for value in values]


def made(**attributes: Any) -> Any:
    return types.SimpleNamespace(**attributes)


def call(number: int, x: Any) -> Call:
    return Call(number, content_type="application/json", body=json.dumps({"x": x}).encode())


def answered(model: Any, calls: list[Call], **options: Any) -> dict[int, Answer]:
    """Return the answers by call, once they have crossed the process border."""
    answers = run(Predictor(model, PredictorOptions(**options)), calls)
    sent = decode_server_bound(bytes(encode(Answers(answers))[0])[8:])
    assert isinstance(sent, Answers)
    assert sent.answers == answers
    assert sorted(answer.id for answer in answers) == [each.id for each in calls]
    return {answer.id: answer for answer in answers}


def run(predictor: Predictor, calls: list[Call]) -> list[Answer]:
    """Run calls as a worker does, but for time."""
    items = [predictor.parse(each) for each in calls]
    answers = [item for item in items if isinstance(item, Answer)]
    valid = [item for item in items if isinstance(item, Parsed)]
    if predictor.batches:
        return answers + (list(predictor.run_batch(valid)) if valid else [])
    found = [predictor.run(item) for item in valid]
    return answers + [answer for answer in found if isinstance(answer, Answer)]


def body(answer: Answer) -> Any:
    assert answer.failure is None, answer.failure
    return json.loads(answer.body)


def predictions(answer: Answer) -> Any:
    return body(answer)["predictions"]


def failure(answer: Answer) -> Failure:
    assert answer.failure is not None
    assert answer.body == b""
    return answer.failure


def failed(model: Any, given: Call | None = None) -> Failure:
    return failure(answered(model, [given or Call(1)])[1])
