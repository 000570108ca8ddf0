"""The contract: what counts as provided, and what a model may declare."""

from __future__ import annotations

import functools
import types
from typing import Any

import pytest

from modelserve import errors
from modelserve.errors import ContractError
from modelserve.v2.model import (
    METHODS,
    BaseModel,
    attribute,
    batch_size,
    concurrency,
    is_async,
    is_stream,
    provides,
)


class Minimal(BaseModel):
    def get_metadata(self) -> dict[str, Any]:
        return {"name": "m", "description": "d"}


class Batching(Minimal):
    def predict_batch(self, calls: list[dict[str, Any]]) -> list[Any]:
        return calls


def test_a_model_without_metadata_cannot_be_instantiated() -> None:
    with pytest.raises(TypeError, match="get_metadata"):
        BaseModel()  # type: ignore[abstract]


def test_what_is_not_overridden_counts_as_not_provided() -> None:
    assert [name for name in METHODS if provides(Minimal(), name)] == ["get_metadata"]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "get_metadata"])
def test_a_method_that_is_not_overridden_says_so_when_it_is_called(name: str) -> None:
    arguments: Any = ([],) if name == "predict_batch" else ()
    with pytest.raises(errors.NotImplementedByModel, match=f"does not provide {name}"):
        getattr(Minimal(), name)(*arguments)


def test_a_module_an_object_and_a_class_provide_what_they_have() -> None:
    module = types.ModuleType("made")
    module.predict = lambda x: x  # type: ignore[attr-defined]
    assert provides(module, "predict")
    assert not provides(module, "warm")
    assert provides(types.SimpleNamespace(warm=print), "warm")
    assert provides(Batching, "predict_batch")


def test_what_cannot_be_called_is_not_provided() -> None:
    assert not provides(types.SimpleNamespace(predict=None, warm=5), "predict")


def test_nothing_is_called_to_find_out() -> None:
    """FAULTS B04: an AttributeError inside get_predict_args is a failure, never "no arguments"."""

    def get_predict_args() -> None:
        raise AttributeError("inside")

    model = types.SimpleNamespace(get_predict_args=get_predict_args)
    assert provides(model, "get_predict_args")


def test_an_attribute_error_behind_a_property_is_not_swallowed() -> None:
    """FAULTS B04: the attribute is there, and what it raises is its failure."""

    class Model:
        @property
        def predict(self) -> Any:
            raise AttributeError("inside")

    with pytest.raises(AttributeError, match="inside"):
        provides(Model(), "predict")


def test_an_attribute_has_a_default_only_where_it_is_not_there() -> None:
    """FAULTS B04: a property that fails is not "none"."""

    class Model:
        max_batch_size = 4

        @property
        def schema(self) -> Any:
            raise AttributeError("inside")

    assert attribute(Model(), "max_batch_size", 0) == 4
    assert attribute(Model(), "nothing", 0) == 0
    with pytest.raises(AttributeError, match="inside"):
        attribute(Model(), "schema", None)


def test_a_model_that_delegates_provides_what_it_delegates_to() -> None:
    class Wrapper:
        def __getattr__(self, name: str) -> Any:
            return getattr(Batching(), name)

    assert provides(Wrapper(), "predict_batch")
    assert not provides(Wrapper(), "train")


def test_a_batch_is_32_calls_where_the_model_does_not_say() -> None:
    assert batch_size(Batching()) == 32
    assert batch_size(types.SimpleNamespace(predict_batch=list)) == 32


def test_a_batch_is_as_large_as_the_model_says() -> None:
    assert batch_size(types.SimpleNamespace(predict_batch=list, max_batch_size=4)) == 4


def test_without_predict_batch_calls_go_one_by_one() -> None:
    assert batch_size(Minimal()) == 1
    assert batch_size(types.SimpleNamespace(max_batch_size=4)) == 1


@pytest.mark.parametrize("size", [-1, 2.5, "8", True, None])
def test_a_batch_size_that_is_none_is_named(size: object) -> None:
    with pytest.raises(ContractError, match="max_batch_size"):
        batch_size(types.SimpleNamespace(predict_batch=list, max_batch_size=size))


async def _coroutine() -> None: ...


async def _async_generator() -> Any:
    yield 1


def _generator() -> Any:
    yield 1


class _Callable:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("predict", "runs_async", "streams"),
    [
        (_coroutine, True, False),
        (_async_generator, True, True),
        (_generator, False, True),
        (lambda: None, False, False),
        (_Callable(), True, False),
        (functools.partial(_coroutine), True, False),
        (None, False, False),
    ],
)
def test_how_predict_runs_is_seen_without_calling_it(predict: Any, runs_async: bool, streams: bool) -> None:
    model = types.SimpleNamespace(predict=predict)
    assert (is_async(model), is_stream(model)) == (runs_async, streams)
    model.predict_batch = list
    assert (is_async(model), is_stream(model)) == (False, False), "predict is not what is called"


def test_how_many_calls_run_at_a_time() -> None:
    model = types.SimpleNamespace(predict=_coroutine)
    assert concurrency(model) == 100
    model.max_concurrency = 7
    assert (concurrency(model), concurrency(model, 3)) == (7, 3)
    assert concurrency(types.SimpleNamespace(predict=print, max_concurrency=7), 3) == 1
    model.max_concurrency = True
    with pytest.raises(ContractError, match="max_concurrency is True"):
        concurrency(model)


def test_a_deployments_batch_size_is_for_models_that_batch() -> None:
    assert batch_size(Batching(), 5) == 5
    assert batch_size(Minimal(), 5) == 1
