"""One HTTP request with the standard library: for the questions that are asked beside the load."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

from .load import BenchmarkError, Request

__all__ = ["exchange", "free_port", "get"]

_TIMEOUT_S = 30.0


def exchange(request: Request, timeout_s: float = _TIMEOUT_S) -> tuple[int, bytes]:
    """POST the request and return the answer's status and body.

    Raises:
        BenchmarkError: Nobody answers.
    """
    headers = {"Content-Type": request.content_type}
    return _opened(urllib.request.Request(request.url, data=request.body, headers=headers), timeout_s)


def get(url: str) -> tuple[int, bytes]:
    """Return status and body of a GET.

    Raises:
        BenchmarkError: Nobody answers.
    """
    return _opened(urllib.request.Request(url), _TIMEOUT_S)


def free_port() -> int:
    """Return a port that nobody listens on; somebody may, a moment later."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _opened(request: urllib.request.Request, timeout_s: float) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError as error:
        raise BenchmarkError(f"{request.full_url} does not answer: {error}") from error
