"""The contract between a model and modelserve, as an abstract class whose docstrings are the reference.

A model is a module, a class or any object: it provides a method by having it. :class:`BaseModel` is there to inherit
from for those who like their editor to know the names; what is not overridden counts as not provided.
"""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Hashable
from typing import Any

from modelserve.errors import ContractError, NotImplementedByModel

__all__ = ["METHODS", "BaseModel", "attribute", "batch_size", "concurrency", "is_async", "is_stream", "provides"]

METHODS = ("get_metadata", "warm", "get_predict_args", "predict", "predict_batch", "get_train_args", "train")
"""Every method of the contract, in the order they are first called."""

DEFAULT_BATCH_SIZE = 32
"""Calls that go to ``predict_batch`` together where the model does not say."""

DEFAULT_CONCURRENCY = 100
"""Calls that an ``async def predict`` runs at the same time where the model does not say."""


class BaseModel(abc.ABC):
    """A model, as modelserve sees it.

    Only ``get_metadata`` must be there. A class is instantiated without arguments, once in each worker process, and
    every method below runs there, on the main thread, one at a time unless ``predict`` is ``async``. The fields of
    ``get_predict_args`` may validate the next call on another thread meanwhile. Nothing of a model runs in the server
    process.

    An exception out of any of these methods costs what it was raised for, no more: one call for ``predict``, the start
    of this one model for the others. The client reads a fixed sentence; the traceback goes to the log.

    Attributes:
        schema: What ``predict`` answers in JSON: a dict of marshmallow fields by name, a ``Schema`` class, or an
            instance (``many=True`` for a list). Every JSON answer is validated against it, and it is published.
            None for no promise: answers come in the envelope ``{"status": "OK", "predictions": ...}``.
        max_batch_size: Most calls that ``predict_batch`` is given at once, 1 or more. 0 leaves the choice to
            modelserve: 32 where there is a ``predict_batch``. Without one it means nothing: calls go one by one.
        max_concurrency: Most calls that an ``async def predict`` runs at the same time in one worker, 1 or more. 0
            leaves the choice to modelserve: 100. It means nothing where ``predict`` is not ``async``.
    """

    schema: Any = None
    max_batch_size: int = 0
    max_concurrency: int = 0

    @abc.abstractmethod
    def get_metadata(self) -> dict[str, Any]:
        """Return what the model says about itself; called once, when the worker starts.

        Returns:
            ``name`` and ``description``, both required texts, and where wanted ``id``, ``license``, ``author``,
            ``version``, ``url`` (texts; what is missing comes from the installed distribution) and ``links``, a list
            of ``{"rel": ..., "href": ...}``. Other keys are ignored with a warning in the log. The texts are shown as
            they are: neither HTML nor a template.

        Raises:
            Exception: The model is listed as failed; other models are served.
        """

    def warm(self) -> None:
        """Load weights and run what is slow the first time; called once, before the worker takes any call.

        It may be ``async``; an ``async def predict`` then runs on the same event loop. A generator is run to its end.

        Raises:
            Exception: The model is listed as failed; other models are served.
        """
        raise _missing("warm")

    def get_predict_args(self) -> Any:
        """Return the arguments of ``predict``; called once, when the worker starts.

        Returns:
            A dict of ``modelserve.v2.fields`` by argument name, or a marshmallow ``Schema`` class or instance. A field
            ``accept`` validated by ``OneOf([media types])`` declares what the model can answer with besides JSON;
            the type that was negotiated is then given to ``predict``.

        Raises:
            Exception: The model is listed as failed; an AttributeError too, it never means "no arguments".
        """
        raise _missing("get_predict_args")

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the answer to one call.

        As ``async def`` it runs for many calls at the same time, on one event loop, ``max_concurrency`` at most; a call
        whose client has left is cancelled. Code that does not await holds up all of them.

        As a generator, sync or ``async``, it answers with a stream: an item is sent as soon as it is yielded, and the
        generator waits while the client does not read. By the Accept header, each item is a server-sent event
        (``text/event-stream``) or a line (``application/x-ndjson``, ``application/jsonl``) of JSON, validated against
        ``schema``, or all are one JSON array (``application/json``); for any other media type a chunk, bytes and str as
        they are. Without a preference it is events, and ``application/octet-stream`` where the first item is bytes. It
        is closed, as ``close()`` does it, when the client leaves. What it raises before its first item is an ordinary
        failure; later, it ends the answer uncleanly.

        What it returns counts, not how it is declared: whatever can be awaited is awaited, and a generator, another
        iterator (``map(...)``, an object with ``__next__``) or an asynchronous one is a stream; an open file is a file.
        Where a decorator hides that ``predict`` is ``async``, calls run one at a time.

        Args:
            *args: Never used; it lets a subclass declare the arguments it has.
            **kwargs: The declared arguments by their names in Python, validated. One that the client left out and that
                has no ``load_default`` is absent. A ``File`` is an ``UploadedFile``, deleted after the answer.

        Returns:
            For JSON: dict, list, tuple, set, str, numbers, bool, None, numpy arrays and scalars (or anything with
            ``tolist()``), datetimes, UUIDs, enums and dataclasses, nested as one likes. Without ``schema`` an object
            of another library's class is sent as its ``str()``, if the class defines one. NaN, NaT, NA and infinity
            are errors, unless the deployment says null.

            For the media type of ``accept``: str (sent as UTF-8), bytes, ``BytesIO``, an open binary file, a path, an
            ``OutputFile``, or a numpy array for ``application/x-npy``. A file is sent from its first byte whatever its
            position, and stays where it is, unless it was made in the worker's temporary folder after ``warm``, or its
            ``OutputFile`` says ``delete``. An open file is closed. A model that declares no ``accept`` and no
            ``schema`` may answer so too.

        Raises:
            modelserve.errors.ModelserveError: Its status, code and message reach the client.
            aiohttp.web.HTTPException: Its status, and its text or reason, reach the client.
            Exception: 500 ``model_error`` for the client.
        """
        raise _missing("predict")

    def predict_batch(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Return the answers to several calls at once; where it is provided, ``predict`` is not called.

        As ``async def`` it is awaited, one batch at a time. A batch for which the device's memory was not enough is run
        in two halves before each of its calls is run alone.

        Args:
            calls: The keyword arguments of one to ``max_batch_size`` calls, each validated alone. All have the same
                media type for their answers, and the same ``batch_key``.

        Returns:
            A list or tuple of as many answers as calls, or an iterator over them, in their order, each of a form that
            ``predict`` may return but for a stream. An item may be an exception instance: that call then fails as if
            ``predict`` had raised it, the others do not.

        Raises:
            Exception: Each call of the batch is run once more, alone, so that only the one at fault fails. The dicts
                are then new ones, the values in them the same.
        """
        raise _missing("predict_batch")

    def batch_key(self, call: dict[str, Any]) -> Hashable:
        """Return what the calls of one batch must have in common, such as the size of their images.

        Args:
            call: The keyword arguments of one call, as ``predict_batch`` gets them.

        Raises:
            Exception: This call fails with 500 ``model_error``, the others do not.
        """
        raise _missing("batch_key")

    def get_train_args(self) -> Any:
        """Return the arguments of ``train``, in the forms of ``get_predict_args``."""
        raise _missing("get_train_args")

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, and return what is to be kept as the job's output, a JSON value.

        It runs in a process of its own, once, on the main thread, so that predictions go on meanwhile; ``warm`` is not
        called there. It tells how far it is by ``modelserve.v2.progress``, and learns from it that it is to end. What
        it prints and logs goes to the job's log. Processes that it starts end with it. It may be ``async``.

        Args:
            *args: Never used; it lets a subclass declare the arguments it has.
            **kwargs: The declared arguments by their names in Python, validated. A ``File`` is there until it ends.

        Returns:
            What ``predict`` may return as JSON; None is fine, NaN, NaT, NA and infinity become null, and of what JSON
            cannot say the text is kept. A generator is run to its end: the output is what it returns, else the list of
            what it yields.

        Raises:
            modelserve.errors.ModelserveError: The job ends in the state error, and its message reaches the client.
            Exception: The job ends in the state error, with a fixed sentence and this traceback in its log.
        """
        raise _missing("train")


def provides(model: Any, name: str) -> bool:
    """Return whether the model has a method of its own of that name; never calls it.

    Raises:
        AttributeError: The attribute is there, but a property behind it raised this: a failure, not "missing".
    """
    method = attribute(model, name, None)
    return callable(method) and getattr(method, "__func__", method) is not vars(BaseModel).get(name)


def attribute(model: Any, name: str, default: Any) -> Any:
    """Return an attribute of the model, the default where it has none of that name.

    Raises:
        AttributeError: As :func:`provides`.
    """
    try:
        return getattr(model, name)
    except AttributeError:
        if _is_declared(model, name):
            raise
        return default


def batch_size(model: Any, chosen: int = 0) -> int:
    """Return how many calls the model is given at once: 1 without ``predict_batch``, else what was chosen, if any.

    Raises:
        ContractError: ``max_batch_size`` is no whole number of 0 or more.
    """
    size = _whole(model, "max_batch_size")
    return (chosen or size or DEFAULT_BATCH_SIZE) if provides(model, "predict_batch") else 1


def concurrency(model: Any, chosen: int = 0) -> int:
    """Return how many calls the model runs at the same time: 1 unless ``predict`` is ``async``.

    Raises:
        ContractError: ``max_concurrency`` is no whole number of 0 or more.
    """
    limit = _whole(model, "max_concurrency")
    return (chosen or limit or DEFAULT_CONCURRENCY) if is_async(model) else 1


def is_async(model: Any) -> bool:
    """Return whether ``predict`` is ``async``, a coroutine or a generator, and is what is called.

    What is behind a decorator is not asked for: the decorator may run it to its end itself.
    """
    return _predict_is(model, inspect.iscoroutinefunction, inspect.isasyncgenfunction)


def is_stream(model: Any) -> bool:
    """Return whether ``predict`` is a generator, sync or ``async``, perhaps behind a decorator, and is what is called.

    Any other may return a stream as well.
    """
    return _predict_is(model, _is_generator_function)


def _predict_is(model: Any, *kinds: Callable[[Any], bool]) -> bool:
    if provides(model, "predict_batch") or not provides(model, "predict"):
        return False
    return any(kind(model.predict) or kind(getattr(model.predict, "__call__", None)) for kind in kinds)  # noqa: B004


def _is_generator_function(function: Any) -> bool:
    try:
        original = inspect.unwrap(function)
    except ValueError:  # a proxy, which has an attribute of any name
        return False
    return inspect.isgeneratorfunction(original) or inspect.isasyncgenfunction(original)


def _whole(model: Any, name: str) -> int:
    value = attribute(model, name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ContractError(f"{name} is {value!r}; it must be a whole number, 1 or more (0 for the default).")
    return value


def _is_declared(model: Any, name: str) -> bool:
    nothing = object()
    return inspect.getattr_static(model, name, nothing) is not nothing


def _missing(name: str) -> NotImplementedByModel:
    return NotImplementedByModel(f"This model does not provide {name}.")
