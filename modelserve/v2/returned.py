"""What a call of the model's code came back with: awaited where it is to be, and as a stream where it is one.

    value, awaitable --> settled(...) --> value
    generator, iterator, async or not --> items_of(...) --> next and close, for a worker that runs one thing at a time
                                      --> items_on_loop(...) --> anext and aclose, for one that runs on an event loop

How a function was declared says little: a decorator hides ``async`` and ``yield``, and any function may return what
another one made. So all of it goes by the value. Files are no streams, although Python reads them line by line.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import AsyncGeneratorType, GeneratorType, coroutine
from typing import Any, TypeVar

__all__ = ["PLAIN_TYPES", "Wait", "drained", "items_of", "items_on_loop", "settled"]

PLAIN_TYPES = frozenset({dict, list, tuple, str, int, float, bool, bytes, type(None)})
"""What most models return: values of these types are neither awaitable nor streams, and need no look."""

Wait = Callable[[Any], Any]
"""Runs a coroutine to its end, and returns what it returned."""

T = TypeVar("T")


def settled(value: Any, wait: Wait) -> Any:
    """Return the value, once awaited where it is awaitable; what that returns is awaited too.

    Raises:
        BaseException: Whatever the awaitable raises.
    """
    while type(value) not in PLAIN_TYPES and inspect.isawaitable(value):
        value = wait(value if inspect.iscoroutine(value) else _result_of(value))
    return value


def drained(value: Any, wait: Wait) -> Any:
    """Return the value once awaited; of a generator or another iterator what it returns, else the list of its items.

    Raises:
        BaseException: Whatever it raises on the way.
    """
    value = settled(value, wait)
    items, found = items_of(value, wait), []
    if items is None:
        return value
    while True:
        try:
            found.append(next(items))
        except StopIteration as end:
            return found if end.value is None else end.value


def items_of(value: Any, wait: Wait) -> Items | None:
    """Return what goes through a stream's items one by one, None where the value is no stream.

    Args:
        value: What the model returned.
        wait: Gives the items of an asynchronous one.

    Raises:
        BaseException: Whatever ``__aiter__`` raises.
    """
    if type(value) is GeneratorType:
        return value
    if _is_iterator(value):
        return _Iterated(value)
    found = _async_iterator(value)
    return None if found is None else _Waited(found, wait)


def items_on_loop(value: Any) -> ItemsOnLoop | None:
    """Return as :func:`items_of` does, for the event loop that runs."""
    if type(value) is AsyncGeneratorType:
        return value
    found = _async_iterator(value)
    if found is not None:
        return _IteratedOnLoop(found)
    return _InTurns(value) if _is_iterator(value) else None


def _is_iterator(value: Any) -> bool:
    return hasattr(type(value), "__next__") and not _is_file(value)


def _is_file(value: Any) -> bool:
    return isinstance(value, io.IOBase) or (callable(getattr(value, "read", None)) and hasattr(value, "seek"))


def _async_iterator(value: Any) -> Any:
    kind = type(value)
    if hasattr(kind, "__aiter__"):
        return kind.__aiter__(value)
    return value if hasattr(kind, "__anext__") else None


async def _result_of(awaitable: Any) -> Any:
    return await awaitable


class _Iterated(Iterator[Any]):
    """An iterator, which need not be one that can be closed."""

    def __init__(self, items: Any) -> None:
        self._items = items

    def __next__(self) -> Any:
        return next(self._items)

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if callable(close):
            close()


class _Waited(Iterator[Any]):
    """An asynchronous iterator, whose event loop runs while an item is waited for."""

    def __init__(self, items: Any, wait: Wait) -> None:
        self._items = items
        self._wait = wait

    def __next__(self) -> Any:
        found = self._wait(self._next())
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        self._wait(_closed(self._items))

    async def _next(self) -> tuple[Any, ...]:
        try:
            return (await anext(self._items),)
        except StopAsyncIteration:
            return ()


class _IteratedOnLoop(AsyncIterator[Any]):
    """An asynchronous iterator, which need not be one that can be closed."""

    def __init__(self, items: Any) -> None:
        self._items = items

    async def __anext__(self) -> Any:
        return await anext(self._items)

    async def aclose(self) -> None:
        await _closed(self._items)


class _InTurns(AsyncIterator[Any]):
    """An iterator on an event loop, which has its turn between two items."""

    def __init__(self, items: Any) -> None:
        self._items = _Iterated(items)

    async def __anext__(self) -> Any:
        await _turn()
        try:
            return next(self._items)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self._items.close()


async def _closed(items: Any) -> None:
    close = getattr(items, "aclose", None)
    if callable(close):
        await close()


@coroutine
def _turn() -> Iterator[None]:
    """Let the others of the event loop run once; as ``asyncio.sleep(0)``, which only such models need to import."""
    yield


Items = Generator[Any, Any, Any] | _Iterated | _Waited
ItemsOnLoop = AsyncGenerator[Any, Any] | _IteratedOnLoop | _InTurns
