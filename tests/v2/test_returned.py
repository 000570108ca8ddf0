"""What the model's functions come back with, however they hide it: awaited, streamed, or taken as it is."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelserve.messages import Answer, Call
from modelserve.testing import ServedModel
from modelserve.v2.predictor import Parsed, Predictor
from modelserve.v2.returned import drained, items_of, settled

NDJSON = "application/x-ndjson"


def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Later:
    """An awaitable that is no coroutine, as a C extension has them."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Any:
        yield from asyncio.sleep(0.001).__await__()
        return self.value


class Next:
    """Has ``__next__`` and nothing else."""

    def __init__(self) -> None:
        self.left = [3, 2, 1]

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration
        return self.left.pop()


class AsyncNext:
    def __init__(self) -> None:
        self.left = [3, 2, 1]

    def __aiter__(self) -> AsyncNext:
        return self

    async def __anext__(self) -> int:
        await asyncio.sleep(0.001)
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


class OnlyAiter:
    def __aiter__(self) -> AsyncIterator[int]:
        return three_later()


async def coroutine() -> int:
    await asyncio.sleep(0.001)
    return 1


async def three_later() -> AsyncIterator[int]:
    for number in range(1, 4):
        await asyncio.sleep(0.001)
        yield number


def three() -> Iterator[int]:
    yield from range(1, 4)


async def returned(value: Any) -> Any:
    return value


@types.coroutine
def old_coroutine() -> Any:
    yield from asyncio.sleep(0.001).__await__()
    return 1


class Calling:
    async def __call__(self) -> int:
        return await coroutine()


ONE = {
    "a coroutine function": coroutine,
    "behind a decorator": hidden(coroutine),
    "behind two": hidden(hidden(coroutine)),
    "a partial of one": functools.partial(returned, 1),
    "a partial of one behind a decorator": functools.partial(hidden(returned), 1),
    "an object that is called": Calling(),
    "a partial of such an object": functools.partial(Calling()),
    "an awaitable": lambda: Later(1),
    "an awaitable of an awaitable": lambda: returned(Later(coroutine())),
    "a coroutine of before async": old_coroutine,
}
THREE = {
    "a generator": three,
    "a generator behind a decorator": hidden(three),
    "an asynchronous generator": three_later,
    "an asynchronous generator behind a decorator": hidden(three_later),
    "a coroutine function that returns a generator": lambda: returned(three()),
    "a coroutine function that returns an asynchronous generator": lambda: returned(three_later()),
    "a map": lambda: map(int, "123"),
    "an iterator": lambda: iter([1, 2, 3]),
    "an object with __next__": Next,
    "an object with __anext__": AsyncNext,
    "an object with __aiter__": OnlyAiter,
    "a coroutine function that returns an object with __next__": lambda: returned(Next()),
    "a coroutine function that returns an object with __aiter__": lambda: returned(OnlyAiter()),
}


def one_at_a_time(predict: Any, accept: str) -> tuple[Answer, bytes]:
    """Predict as a worker does that runs one thing at a time, also where the declaration says ``async``."""
    with asyncio.Runner() as runner:
        predictor = Predictor(types.SimpleNamespace(predict=predict), wait=runner.run)
        item = predictor.parse(Call(7, accept=accept))
        found = predictor.run(item) if isinstance(item, Parsed) else item
        if isinstance(found, Answer):
            return found, found.body
        parts = [found.next_part()]
        while not parts[-1].last:
            parts.append(found.next_part())
        found.items.close()
        return found.answer, b"".join(part.data for part in parts)


def on_a_loop(predict: Any, accept: str) -> tuple[Answer, bytes]:
    """Predict as a worker does that runs many calls on one event loop."""

    async def run() -> tuple[Answer, bytes]:
        predictor = Predictor(types.SimpleNamespace(predict=predict))
        item = predictor.parse(Call(7, accept=accept))
        found = await predictor.run_async(item) if isinstance(item, Parsed) else item
        if isinstance(found, Answer):
            return found, found.body
        parts = [await found.next_part_async()]
        while not parts[-1].last:
            parts.append(await found.next_part_async())
        await found.items.aclose()
        return found.answer, b"".join(part.data for part in parts)

    return asyncio.run(run())


@pytest.mark.parametrize("way", [one_at_a_time, on_a_loop])
class TestPredict:
    @pytest.mark.parametrize("predict", ONE.values(), ids=ONE)
    def test_whatever_can_be_awaited_is_awaited(self, way: Any, predict: Any) -> None:
        answer, body = way(predict, "application/json")
        assert answer.failure is None, answer.failure
        assert json.loads(body) == {"status": "OK", "predictions": 1}

    @pytest.mark.parametrize("predict", THREE.values(), ids=THREE)
    @pytest.mark.parametrize(
        ("accept", "media_type", "body"),
        [
            ("*/*", "text/event-stream", b"data: 1\n\ndata: 2\n\ndata: 3\n\n"),
            (NDJSON, NDJSON, b"1\n2\n3\n"),
            ("application/json", "application/json", b"[1,2,3]"),
            ("image/png, text/plain;q=0.1", "text/plain; charset=utf-8", b"1\n2\n3\n"),
        ],
    )
    def test_whatever_has_items_is_streamed(
        self, way: Any, predict: Any, accept: str, media_type: str, body: bytes
    ) -> None:
        answer, sent = way(predict, accept)
        assert answer.failure is None, answer.failure
        assert (answer.content_type, sent) == (media_type, body)

    @pytest.mark.parametrize("predict", [lambda: 1, coroutine, lambda: returned([1])])
    def test_what_is_no_stream_is_none_in_any_form(self, way: Any, predict: Any) -> None:
        answer, _ = way(predict, NDJSON)
        assert answer.failure.status == 406
        assert answer.failure.message.endswith("this model can answer with application/json.")

    def test_a_generator_that_a_decorator_collects_is_no_stream(self, way: Any) -> None:
        @functools.wraps(three)
        def collected() -> list[int]:
            return list(three())

        assert json.loads(way(collected, "*/*")[1])["predictions"] == [1, 2, 3]
        assert way(collected, NDJSON)[0].failure.status == 406

    def test_a_file_is_a_file(self, way: Any, tmp_path: Path) -> None:
        path = tmp_path / "lines.txt"
        path.write_text("1\n2\n")
        assert way(lambda: path.open("rb"), "*/*")[0].file.path == str(path)
        assert way(lambda: io.BytesIO(b"1\n2\n"), "*/*")[1] == b"1\n2\n"

    def test_what_it_raises_is_the_models_error(self, way: Any) -> None:
        async def failing_later() -> Any:
            yield 1 / 0

        for each in (lambda: map(int, "a"), hidden(failing_later)):
            assert way(each, "*/*")[0].failure.code == "model_error"


def test_a_proxy_that_has_every_attribute_is_looked_at_no_further() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            return Proxy()

        def __call__(self) -> int:
            return 1

    assert json.loads(one_at_a_time(Proxy(), "*/*")[1])["predictions"] == 1


class TestTheOthers:
    @pytest.mark.parametrize("predict", ONE.values(), ids=ONE)
    def test_all_that_can_be_awaited_is_settled(self, predict: Any) -> None:
        with asyncio.Runner() as runner:
            assert settled(predict(), runner.run) == 1

    @pytest.mark.parametrize("predict", THREE.values(), ids=THREE)
    def test_all_that_has_items_is_drained(self, predict: Any) -> None:
        with asyncio.Runner() as runner:
            assert drained(predict(), runner.run) == [1, 2, 3]

    def test_what_a_generator_returns_is_what_it_comes_to(self) -> None:
        def train() -> Any:
            yield 1
            return {"accuracy": 0.5}

        assert drained(train(), lambda coroutine: None) == {"accuracy": 0.5}

    @pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, range(2), "ab", b"ab", None, 1, io.BytesIO(), object()])
    def test_anything_else_is_no_stream(self, value: Any) -> None:
        assert items_of(value, lambda coroutine: None) is None

    @pytest.mark.parametrize("way", ["generator", "hidden coroutine", "awaitable"])
    def test_warm_is_run_to_its_end(self, way: str) -> None:
        done = []

        def generator() -> Any:
            yield
            done.append(True)

        async def coroutine() -> None:
            await Later(1)
            done.append(True)

        ways = {
            "generator": generator,
            "hidden coroutine": hidden(coroutine),
            "awaitable": lambda: Later(done.append(True)),  # type: ignore[func-returns-value]
        }
        with asyncio.Runner() as runner:
            Predictor(types.SimpleNamespace(predict=three, warm=ways[way]), wait=runner.run).warm()
        assert done == [True]

    @pytest.mark.parametrize("batch", [lambda calls: map(len, calls), lambda calls: (returned(len(c)) for c in calls)])
    def test_a_batch_may_be_an_iterator_of_answers(self, batch: Any) -> None:
        with asyncio.Runner() as runner:
            predictor = Predictor(types.SimpleNamespace(predict_batch=batch), wait=runner.run)
            items = [predictor.parse(Call(number)) for number in range(2)]
            answers = list(predictor.run_batch([item for item in items if isinstance(item, Parsed)]))
        assert [json.loads(answer.body)["predictions"] for answer in answers] == [0, 0]


class Turning:
    """Runs one thing at a time, as nothing tells that its answers are asynchronous."""

    @hidden
    async def predict(self) -> Any:
        for number in range(3):
            await asyncio.sleep(0.001)
            yield number

    @hidden
    async def train(self) -> Any:
        await asyncio.sleep(0.001)
        return {"done": True}


class Together:
    async def predict(self) -> Any:
        await asyncio.sleep(0.001)
        return (number for number in range(3))


@pytest.mark.asyncio
@pytest.mark.parametrize("model", [Turning, Together])
async def test_a_server_streams_what_either_worker_gives(model: Any) -> None:
    async with ServedModel(model) as served:
        lines = await served.predict(accept=NDJSON)
        array = await served.predict(accept="application/json")
    assert (lines.status, lines.content_type, lines.body) == (200, NDJSON, b"0\n1\n2\n")
    assert (array.status, array.content_type, array.json()) == (200, "application/json", [0, 1, 2])
