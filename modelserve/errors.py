"""The one tree of errors that modelserve raises on purpose.

Every class carries the HTTP ``status`` and a stable short ``code`` that clients may switch on; doors turn them
into bodies of their own. Nothing here knows a web library. A model may raise any of them to answer its client.

    ModelserveError 500
    ├── BadRequest 400
    ├── Unauthorized 401
    ├── Forbidden 403
    ├── NotFound 404
    ├── NotAcceptable 406
    ├── BodyTimeout 408
    ├── Conflict 409
    ├── TooLarge 413
    ├── UnsupportedMedia 415
    ├── WrongHost 421
    ├── InvalidArguments 422
    ├── TooManyRequests 429
    ├── Reported (any)
    ├── NotImplementedByModel 501
    ├── ContractError 500
    ├── ModelError 500
    │   ├── BadAnswer 500
    │   ├── WorkerDied 500
    │   └── OutOfMemory 500
    ├── PredictTimeout 504
    ├── QueueTimeout 504
    ├── Unavailable 503
    │   ├── QueueFull 503
    │   ├── NotReady 503
    │   ├── NoSpace 503
    │   ├── StoreUnavailable 503
    │   │   └── StoreUnsure 503
    │   └── Stopping 503
    └── StartError (exit code)
        ├── SettingsError 2
        ├── DiscoveryError 3
        ├── NoModel 3
        ├── PortInUse 4
        ├── StoreBroken 5
        ├── StoreNewer 5
        └── StoreUnreachable 5
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "BadAnswer",
    "BadRequest",
    "BodyTimeout",
    "Conflict",
    "ContractError",
    "DiscoveryError",
    "Forbidden",
    "HeadTooLarge",
    "InvalidArguments",
    "ModelError",
    "ModelserveError",
    "NoModel",
    "NoSpace",
    "NotAcceptable",
    "NotFound",
    "NotImplementedByModel",
    "NotReady",
    "OutOfMemory",
    "PortInUse",
    "PredictTimeout",
    "QueueFull",
    "QueueTimeout",
    "Reported",
    "SettingsError",
    "StartError",
    "Stopping",
    "StoreBroken",
    "StoreNewer",
    "StoreUnavailable",
    "StoreUnreachable",
    "StoreUnsure",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnsupportedMedia",
    "WorkerDied",
    "WrongHost",
]


class ModelserveError(Exception):
    """Any error that modelserve raises on purpose.

    Args:
        message: One sentence a client may read. It names what was wrong and what would be right.
        log: What only the operator may read (a traceback, a path, a field's value); never sent to a client.
    """

    status: int = 500
    code: str = "error"

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.log = log


class BadRequest(ModelserveError):
    """The request is malformed: broken JSON, a duplicate key, a body that is no form."""

    status = 400
    code = "bad_request"


class Unauthorized(ModelserveError):
    """The request carries no token, or none that is valid; it is not said which of the two, nor why."""

    status = 401
    code = "unauthorized"


class Forbidden(ModelserveError):
    """The client is known and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(ModelserveError):
    """There is nothing under that name."""

    status = 404
    code = "not_found"


class NotAcceptable(ModelserveError):
    """No media type that the client accepts is one the model can answer with."""

    status = 406
    code = "not_acceptable"


class BodyTimeout(ModelserveError):
    """The request's body has not arrived in time."""

    status = 408
    code = "body_timeout"


class Conflict(ModelserveError):
    """What is asked does not fit what is there: the job has ended, or the key is another request's."""

    status = 409
    code = "conflict"


class TooLarge(ModelserveError):
    """The body, a file or the number of parts is over its limit."""

    status = 413
    code = "too_large"


class UnsupportedMedia(ModelserveError):
    """The body's content type, charset or encoding is none that the route reads."""

    status = 415
    code = "unsupported_media"


class WrongHost(ModelserveError):
    """The request is for a host that this server is not."""

    status = 421
    code = "wrong_host"


class InvalidArguments(ModelserveError):
    """The arguments do not fit the model's declaration.

    Args:
        fields: Argument name to its messages, or to a nested mapping of the same form, as marshmallow words them.
    """

    status = 422
    code = "invalid"

    def __init__(self, fields: Mapping[str, Any], *, log: str = "") -> None:
        super().__init__("The arguments are not valid.", log=log)
        self.fields = dict(fields)


class TooManyRequests(ModelserveError):
    """The client has come too often, or has failed to log in too often.

    Args:
        message: One sentence.
        retry_after_s: After how many seconds it may come again.
    """

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, retry_after_s: float = 1.0, *, log: str = "") -> None:
        super().__init__(message, log=log)
        self.retry_after_s = retry_after_s


class HeadTooLarge(ModelserveError):
    """The request line and the headers are together over what a head may have."""

    status = 431
    code = "head_too_large"


class Reported(ModelserveError):
    """An error a model reported with a status and text of its own, such as an ``aiohttp.web`` exception."""

    def __init__(self, message: str, *, status: int, code: str = "model_error", log: str = "") -> None:
        super().__init__(message, log=log)
        self.status = status
        self.code = code


class NotImplementedByModel(ModelserveError):
    """The model does not provide what the route needs."""

    status = 501
    code = "not_implemented"


class ContractError(ModelserveError):
    """What a model declares breaks the contract; the message names the key and says what would be right."""

    code = "contract"


class ModelError(ModelserveError):
    """The model raised an exception; its text is in the log only."""

    code = "model_error"


class BadAnswer(ModelError):
    """The model's answer breaks its own schema or cannot be written in the chosen media type."""

    code = "bad_answer"


class WorkerDied(ModelError):
    """The worker process ended while it ran this call, which may have been the cause.

    A 500 without Retry-After on purpose: a retry would carry a deadly call to every worker in turn.
    """

    code = "worker_died"


class OutOfMemory(ModelError):
    """The model asked for more memory than its device has."""

    code = "out_of_memory"


class PredictTimeout(ModelserveError):
    """The call ran longer than its deployment, or its client, allows."""

    status = 504
    code = "predict_timeout"


class QueueTimeout(ModelserveError):
    """The deadline passed while the call waited for a worker; it was never run."""

    status = 504
    code = "queue_timeout"


class Unavailable(ModelserveError):
    """The service cannot take this call now; the same call may succeed after ``retry_after_s`` seconds."""

    status = 503
    code = "unavailable"
    retry_after_s: ClassVar[int] = 1


class QueueFull(Unavailable):
    """As many calls wait for this deployment as its ``max_queue`` allows."""

    code = "queue_full"


class NotReady(Unavailable):
    """The deployment has no worker that is loaded and warm."""

    code = "not_ready"


class NoSpace(Unavailable):
    """A folder of the server, or its store of jobs, can take no more: the disk is full, or the folder is gone."""

    code = "no_space"
    retry_after_s = 10


class StoreUnavailable(Unavailable):
    """The store of jobs cannot be used now: it is locked, damaged, or not reached. Predictions do not need it."""

    code = "store_unavailable"
    retry_after_s = 2


class StoreUnsure(StoreUnavailable):
    """The connection to the store of jobs broke while a change was made for good: nobody knows whether it was."""


class Stopping(Unavailable):
    """The server is shutting down."""

    code = "stopping"


class StartError(ModelserveError):
    """The program cannot start; the message says what to do and ``exit_code`` is the process's status."""

    exit_code: ClassVar[int] = 1
    code = "start"


class SettingsError(StartError):
    """A setting has an unknown name, a wrong type or a value out of range."""

    exit_code = 2


class DiscoveryError(StartError):
    """Installed models are ambiguous or wrongly named."""

    exit_code = 3


class NoModel(StartError):
    """No model is installed, the asked one is unknown, or none could start."""

    exit_code = 3


class PortInUse(StartError):
    """The address to listen on is taken."""

    exit_code = 4


class StoreBroken(StartError):
    """The store of jobs is damaged, or no store; it is left as it is."""

    exit_code = 5


class StoreNewer(StartError):
    """The store of jobs was written by a newer version; it is left as it is."""

    exit_code = 5


class StoreUnreachable(StartError):
    """The store of jobs cannot be opened, written or reached."""

    exit_code = 5
