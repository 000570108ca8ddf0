"""Exceptions of models: what the client reads of them, what the log does, and that all of it can be sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from aiohttp import web

from modelserve import errors
from modelserve.messages import TEXT_LIMIT, Failure
from modelserve.v2.failures import MODEL_ERROR, OUT_OF_MEMORY, failure_of


def failure(error: BaseException) -> Failure:
    """Raise it, as a model does, and hold that what is made of it can be sent."""
    try:
        raise error
    except BaseException as raised:
        found = failure_of(raised)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Failure) == found
    return found


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError(),
        StopIteration(1),
        Mute(),
    ],
)
def test_the_client_reads_a_fixed_sentence_and_the_log_has_the_traceback(error: BaseException) -> None:
    """FAULTS A05: also of what would end the process."""
    found = failure(error)
    assert (found.status, found.code, found.message, found.fields) == (500, "model_error", MODEL_ERROR, None)
    assert found.log.startswith("Traceback")
    assert type(error).__name__ in found.log
    assert "secret" not in found.message


def test_a_gpu_whose_memory_is_too_small_has_a_code_and_a_sentence_of_its_own() -> None:
    """FAULTS P01."""
    found = failure(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"))
    assert (found.status, found.code, found.message) == (500, "out_of_memory", OUT_OF_MEMORY)
    assert "Tried to allocate" in found.log


def test_the_cause_is_in_the_log() -> None:
    error = ValueError("outer")
    error.__cause__ = OSError("no such weights")
    assert "no such weights" in failure(error).log


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.BadRequest("The picture is empty.", log="secret"), 400, "bad_request"),
        (errors.NotFound("The picture is empty.", log="secret"), 404, "not_found"),
        (errors.Unavailable("The picture is empty.", log="secret"), 503, "unavailable"),
        (errors.Reported("The picture is empty.", status=418, code="teapot", log="secret"), 418, "teapot"),
    ],
)
def test_an_error_raised_on_purpose_says_its_status_code_and_message(
    error: errors.ModelserveError, status: int, code: str
) -> None:
    assert failure(error) == Failure(status, code, "The picture is empty.", log="secret")


def test_invalid_arguments_name_their_fields() -> None:
    found = failure(errors.InvalidArguments({"x": ["Too dark."], "y": {0: ("a", ValueError("b"))}}))
    assert (found.status, found.fields) == (422, {"x": ["Too dark."], "y": {"0": ["a", "b"]}})


def test_what_is_reported_as_a_failure_is_never_without_a_log() -> None:
    for error in (errors.ModelError("It failed."), web.HTTPInternalServerError(reason="It failed.")):
        found = failure(error)
        assert found.message == "It failed."
        assert found.log.startswith("Traceback")
    assert failure(errors.BadRequest("Wrong.")).log == ""
    assert failure(errors.Unavailable("Later.")).log == ""


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (web.HTTPBadRequest(reason="The picture is empty."), 400, "The picture is empty."),
        (web.HTTPBadRequest(text="The picture is empty."), 400, "The picture is empty."),
        (web.HTTPNotFound(), 404, "Not Found"),
        (web.HTTPUnprocessableEntity(text='{"x": 1}', content_type="application/json"), 422, '{"x": 1}'),
        (web.HTTPServiceUnavailable(reason="Later."), 503, "Later."),
        (web.HTTPException(reason="It failed."), 500, "It failed."),
    ],
)
def test_an_exception_of_aiohttp_says_its_status_and_text(error: web.HTTPException, status: int, message: str) -> None:
    """As DEEPaaS's packages raise them."""
    found = failure(error)
    assert (found.status, found.code, found.message) == (status, "model_error", message)


def test_a_class_of_the_models_own_below_one_of_aiohttp_counts_as_that() -> None:
    class Dark(web.HTTPBadRequest):
        pass

    assert failure(Dark(reason="Too dark.")).status == 400


@pytest.mark.parametrize(
    "error",
    [web.HTTPFound("/elsewhere"), web.HTTPOk(), errors.Reported("x", status=200), errors.Reported("x", status=10**6)],
)
def test_a_status_that_is_no_error_is_an_error(error: BaseException) -> None:
    found = failure(error)
    assert (found.status, found.message) == (500, MODEL_ERROR)
    assert found.log.startswith("Traceback")


class Halfway(errors.ModelserveError):
    """A model's own class that forgets its base's constructor."""

    def __init__(self) -> None:
        pass


class Broken(errors.ModelserveError):
    @property
    def message(self) -> str:
        raise SystemExit(3)

    @message.setter
    def message(self, value: str) -> None:
        pass


def cyclic() -> errors.InvalidArguments:
    fields: dict[str, Any] = {}
    fields["x"] = fields
    return errors.InvalidArguments(fields)


@pytest.mark.parametrize(
    "error",
    [Halfway(), Broken("x"), cyclic(), errors.InvalidArguments({"x": Mute()}), errors.BadRequest(Mute())],  # type: ignore[arg-type]
)
def test_an_error_that_cannot_be_read_is_one_the_model_did_not_mean(error: BaseException) -> None:
    found = failure(error)
    assert (found.status, found.message) == (500, MODEL_ERROR)
    assert type(error).__name__ in found.log


@pytest.mark.parametrize(
    "error",
    [
        ValueError("\ud800"),
        errors.BadRequest("\ud800", log="\ud800"),
        errors.InvalidArguments({"\ud800": ["\ud800"]}),
        web.HTTPBadRequest(reason="\ud800", text="x"),
        errors.Reported("x", status=400, code="\ud800"),
    ],
)
def test_a_lone_surrogate_can_be_sent(error: BaseException) -> None:
    """FAULTS C04; ``failure`` encodes what it returns."""
    failure(error)


@pytest.mark.parametrize("make", [ValueError, errors.BadRequest, lambda text: errors.InvalidArguments({"x": [text]})])
def test_a_huge_text_is_cut(make: Any) -> None:
    found = failure(make("x" * 10_000_000))
    assert len(msgspec.msgpack.encode(found)) < 2 * TEXT_LIMIT
