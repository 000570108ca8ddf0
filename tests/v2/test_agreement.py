"""What a model declares and what its functions take: a mistake is told when it starts, in one sentence."""

from __future__ import annotations

import functools
import logging
from typing import Any

import pytest
from marshmallow import INCLUDE, Schema, post_load
from marshmallow.validate import OneOf

from modelserve.errors import ContractError
from modelserve.v2 import fields
from modelserve.v2.agreement import check_agreement, check_batching, check_methods
from modelserve.v2.arguments import ArgumentParser
from modelserve.v2.predictor import Predictor
from tests.v2.running import made

NEEDED = {"x": fields.Int(required=True)}
DEFAULT = {"x": fields.Int(load_default=1)}
OPTIONAL = {"x": fields.Int()}
ACCEPT = {"accept": fields.Str(validate=OneOf(["image/png", "text/csv"]))}


class Method:
    def predict(self, x: int) -> int:
        return x

    @staticmethod
    def static(x: int) -> int:
        return x


def checked(predict: Any, declared: Any, *, is_lenient: bool = False) -> None:
    check_agreement(
        made(predict=predict, get_predict_args=lambda: declared),
        "predict",
        ArgumentParser(declared),
        is_lenient=is_lenient,
    )


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function("given by the decorator", *args, **kwargs)

    return wrapper


class Whole(Schema):
    x = fields.Int()

    @post_load
    def make(self, data: Any, **_: Any) -> Any:
        return {"y": 1}


class Open(Schema):
    class Meta:
        unknown = INCLUDE


class Renamed(Schema):
    x = fields.Int(attribute="y", required=True)
    z = fields.Int(attribute="w.v", required=True)


@pytest.mark.parametrize(
    ("predict", "declared"),
    [
        (Method().predict, NEEDED),
        (Method.static, DEFAULT),
        (lambda x: x, NEEDED),
        (lambda *, x: x, NEEDED),
        (lambda **given: given, NEEDED),
        (lambda x=1, **given: given, {}),
        (lambda x, y=2: x, NEEDED),
        (lambda a=0, /, **given: given, NEEDED),
        (lambda accept: accept, ACCEPT),
        (functools.partial(lambda x, y: x, y=1), NEEDED),
        (functools.partial(lambda y, x: x, 1), NEEDED),
        (logged(lambda logger, x: x), NEEDED),
        (lambda y: y, Whole),
        (lambda y: y, Open),
        (lambda y, w: y, Renamed),
        (lambda: 1, {}),
        (max, NEEDED),
        (lambda **given: given, {"not an identifier": fields.Int(), "a.b": fields.Int()}),
    ],
)
def test_what_agrees_is_taken_without_a_word(predict: Any, declared: Any, caplog: pytest.LogCaptureFixture) -> None:
    checked(predict, declared)
    assert not caplog.records


@pytest.mark.parametrize(
    ("predict", "declared", "words"),
    [
        (lambda y: y, NEEDED, "predict takes y, but get_predict_args declares x: no call could run."),
        (lambda y: y, OPTIONAL, "predict takes y, but get_predict_args declares x: no call could run."),
        (Method().predict, {}, "predict needs x, which get_predict_args does not declare."),
        (Method.predict, NEEDED, "predict needs self, which get_predict_args does not declare."),
        (lambda: 1, NEEDED, "get_predict_args declares x, which predict does not take."),
        (lambda: 1, DEFAULT, "get_predict_args declares x, which predict does not take."),
        (lambda: 1, OPTIONAL, "get_predict_args declares x, which predict does not take."),
        (lambda: 1, ACCEPT, "get_predict_args declares accept, which predict does not take."),
        (lambda x, /: x, NEEDED, "predict takes x by place alone; arguments are given by their names."),
        (lambda x, y: x, Renamed, "predict takes x, but get_predict_args declares w: no call could run."),
        (functools.partial(lambda x, y: x), NEEDED, "predict needs y, which get_predict_args does not declare."),
    ],
)
def test_what_does_not_is_one_sentence(predict: Any, declared: Any, words: str) -> None:
    with pytest.raises(ContractError) as caught:
        checked(predict, declared)
    assert str(caught.value) == words


def test_without_a_declaration_the_sentence_says_that_there_is_none() -> None:
    class Regression:
        """As the models of scikit-learn are."""

        def predict(self, X: Any) -> Any:  # noqa: N803
            return X

    with pytest.raises(ContractError, match=r"^predict needs X, and there is no get_predict_args that declares it\.$"):
        check_agreement(Regression(), "predict", ArgumentParser({}))


def test_a_training_is_told_of_its_own_functions() -> None:
    model = made(train=lambda epochs: None, get_train_args=None)
    with pytest.raises(ContractError, match="train takes epochs, but get_train_args declares x"):
        check_agreement(model, "train", ArgumentParser(NEEDED))


def test_a_batch_is_given_as_one_list() -> None:
    check_batching(made(predict_batch=lambda calls, least=1: calls, batch_key=lambda *calls: calls))
    check_batching(made(predict_batch=max))
    with pytest.raises(ContractError, match=r"^predict_batch must take one argument, the list of the calls; it takes"):
        check_batching(made(predict_batch=lambda x, y: [x, y]))
    with pytest.raises(ContractError, match=r"^batch_key must take one argument, the arguments of a call; it takes"):
        check_batching(made(predict_batch=lambda calls: calls, batch_key=lambda: 1))


def test_a_method_without_self_or_with_too_much_is_one_sentence() -> None:
    class Model:
        def predict() -> int:  # type: ignore[misc]
            return 1

        @staticmethod
        def train() -> int:
            return 1

        @classmethod
        def warm(cls, path: str = "") -> None: ...

    for name, wrong, words in (
        ("predict", None, r"^predict has no self; write def predict\(self, ...\), or make it a staticmethod\.$"),
        ("get_predict_args", {"x": fields.Int()}, r"^get_predict_args is of type dict; it must be a function\.$"),
        ("get_train_args", lambda model, x: {}, r"^get_train_args is called without arguments, but needs x\.$"),
        ("warm", lambda model, x, /, *, y: None, r"^warm is called without arguments, but needs x and y\.$"),
        ("get_metadata", lambda: None, "^get_metadata has no self; "),
    ):
        own = {"predict": lambda model: 1} | ({name: wrong} if wrong else {"predict": Model.__dict__["predict"]})
        with pytest.raises(ContractError, match=words):
            check_methods(type("Broken", (Model,), own)())
        with pytest.raises(ContractError, match=words):
            Predictor(type("Broken", (Model,), own)())
    check_methods(type("Right", (Model,), {"predict": lambda *all: 1, "get_metadata": None})())
    check_methods(made(predict=lambda: 1, warm=lambda *given, **named: None, train=False))


def test_packages_for_deepaas_may_declare_what_few_calls_give(caplog: pytest.LogCaptureFixture) -> None:
    checked(lambda: 1, OPTIONAL, is_lenient=True)
    assert caplog.messages == ["predict does not take x, which get_predict_args declares"]
    with pytest.raises(ContractError):
        checked(lambda: 1, NEEDED, is_lenient=True)


def test_what_some_calls_lack_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    checked(lambda x: x, OPTIONAL)
    assert caplog.messages == ["a call may leave out x, for which predict has no default; it would fail"]


class Anything:
    def predict(self, **arguments: Any) -> Any:
        return arguments

    def by_place(self, /, **arguments: Any) -> Any:
        return arguments


def test_an_argument_is_not_called_as_the_object_itself() -> None:
    declared = {"self": fields.Int(required=True)}
    with pytest.raises(ContractError, match="declares self, which predict does not take"):
        checked(Anything().predict, declared)
    checked(Anything().by_place, declared)
