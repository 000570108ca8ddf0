"""aiohttp's exceptions with any reason, in a process of their own, however late aiohttp is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

RAISED = """
from modelserve.deepaas.reasons import take_any_reason
{first}
{second}
import aiohttp.web as web
from modelserve.v2.failures import failure_of

def told(error):
    failure = failure_of(error)
    return failure.status, failure.message

assert told(web.HTTPBadRequest(reason=ValueError("a\\nb"))) == (400, "a\\nb")
assert told(web.HTTPException(reason=KeyError("leaf"))) == (500, "'leaf'")
assert told(web.HTTPBadRequest(reason="two\\r\\nlines")) == (400, "two\\r\\nlines")
assert told(web.HTTPNotFound(reason="plain")) == (404, "plain")
assert told(web.HTTPNotFound()) == (404, "Not Found")
assert told(web.HTTPBadRequest(reason=ValueError("a"), text="mine")) == (400, "mine")
assert told(web.HTTPBadRequest(reason=ValueError(""))) == (400, "Bad Request")
assert told(web.HTTPMethodNotAllowed("GET", ["POST"])) == (405, "Method Not Allowed")
assert web.HTTPBadRequest(reason=ValueError("a\\nb")).reason == "a"
"""


@pytest.mark.parametrize("order", [("take_any_reason()", "import aiohttp"), ("import aiohttp", "take_any_reason()")])
def test_whatever_the_reason_is_the_client_reads_it(order: tuple[str, str]) -> None:
    code = RAISED.format(first=order[0], second=order[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
