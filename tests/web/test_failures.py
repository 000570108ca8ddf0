"""Errors become one JSON body, and what only the operator may know goes to the log."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from aiohttp import web

from modelserve import errors
from modelserve.messages import Failure
from modelserve.web.failures import describe_error, failure_response, log_failure

SECRET = "password=hunter2"


def body(response: web.Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def test_our_errors_keep_their_status_code_and_sentence() -> None:
    failure = describe_error(errors.QueueFull("Come later.", log=SECRET))
    assert failure == Failure(503, "queue_full", "Come later.", None, SECRET)


def test_invalid_arguments_keep_their_fields() -> None:
    assert describe_error(errors.InvalidArguments({"x": ["No."]})).fields == {"x": ["No."]}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (web.HTTPNotFound(), 404, "not_found"),
        (web.HTTPMethodNotAllowed("GET", ["POST"]), 405, "method_not_allowed"),
        (web.HTTPRequestEntityTooLarge(1, 2), 413, "too_large"),
        (web.HTTPBadRequest(text=SECRET), 400, "bad_request"),
        (web.HTTPExpectationFailed(text=SECRET), 417, "error"),
    ],
)
def test_aiohttps_own_refusals_get_a_code_and_a_sentence_of_ours(error: Exception, status: int, code: str) -> None:
    failure = describe_error(error)
    assert (failure.status, failure.code) == (status, code)
    assert failure.message.endswith(".")
    assert SECRET not in failure.message


def test_an_unexpected_error_is_logged_once_and_tells_the_client_nothing(caplog: pytest.LogCaptureFixture) -> None:
    failure = describe_error(RuntimeError(SECRET))
    assert (failure.status, failure.code) == (500, "error")
    assert SECRET not in str(failure)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])


def test_the_body_has_the_message_the_code_and_the_request_id_and_nothing_else() -> None:
    response = failure_response(Failure(404, "not_found", "Gone.", None, SECRET), "id-1")
    assert (response.status, response.content_type) == (404, "application/json")
    assert body(response) == {"message": "Gone.", "code": "not_found", "request_id": "id-1"}


def test_invalid_arguments_have_their_fields_at_the_top_as_deepaas_clients_expect() -> None:
    response = failure_response(Failure(422, "invalid", "No.", {"x": ["Missing data for required field."]}), "id-1")
    fields = {"x": ["Missing data for required field."]}
    assert body(response) == {**fields, "message": "No.", "code": "invalid", "request_id": "id-1"}
    assert next(iter(body(response))) == "x"


def test_an_argument_that_is_named_as_what_every_error_has_keeps_its_messages() -> None:
    fields = {"message": ["Not a valid string."], "code": ["No."], "request_id": {"0": ["No."]}}
    assert body(failure_response(Failure(422, "invalid", "No.", fields), "id-1")) == fields
    response = failure_response(Failure(422, "invalid", "No.", {"code": ["No."]}), "id-1")
    assert body(response) == {"code": ["No."], "message": "No.", "request_id": "id-1"}


@pytest.mark.parametrize("fields", [{"\ud800": ["lone"]}, {"x": {0: ["first of a list"]}}])
def test_field_names_that_json_cannot_say_do_not_break_the_body(fields: dict[str, Any]) -> None:
    assert body(failure_response(Failure(422, "invalid", "No.", fields), "id-1"))


def test_no_error_is_taken_for_another_type_by_a_browser() -> None:
    for status in (400, 404, 422, 500, 503):
        response = failure_response(Failure(status, "code", "<script>alert(1)</script>"), "id-1")
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("error", [errors.QueueFull, errors.NotReady, errors.Stopping, errors.Unavailable])
def test_what_is_unavailable_for_now_says_when_to_come_back(error: type[errors.Unavailable]) -> None:
    response = failure_response(describe_error(error("Later.")), "id-1")
    assert error.retry_after_s <= int(response.headers["Retry-After"]) <= 3 * error.retry_after_s


def test_clients_that_are_refused_together_are_not_told_to_come_back_together() -> None:
    """F07."""
    failure = describe_error(errors.QueueFull("Full."))
    told = {failure_response(failure, "id-1").headers["Retry-After"] for _ in range(100)}
    assert told == {"1", "2", "3"}


def test_a_503_of_the_models_own_says_when_to_come_back_too() -> None:
    failure = describe_error(errors.Reported("The GPU is being repaired.", status=503))
    assert failure_response(failure, "id-1").headers["Retry-After"] in ("1", "2", "3")


@pytest.mark.parametrize("error", [errors.WorkerDied("Died."), errors.ModelError("No."), errors.BadRequest("No.")])
def test_nothing_else_invites_a_client_to_try_again(error: errors.ModelserveError) -> None:
    assert "Retry-After" not in failure_response(describe_error(error), "id-1").headers


def test_the_log_gets_one_record_with_the_last_line_and_the_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log_failure(
        Failure(500, "model_error", "It failed.", None, f"Traceback:\n  a line\nValueError: {SECRET}"), "id-1", "m"
    )
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == f"model_error: ValueError: {SECRET}"
    told = record.__dict__
    assert (told["deployment"], told["request_id"]) == ("m", "id-1")
    assert "a line" in told["traceback"]


@pytest.mark.parametrize("failure", [Failure(400, "bad_request", "No.", None, "why"), Failure(500, "error", "No.")])
def test_what_a_client_alone_caused_leaves_no_trace_in_the_log(
    failure: Failure, caplog: pytest.LogCaptureFixture
) -> None:
    log_failure(failure, "id-1")
    assert not caplog.records
