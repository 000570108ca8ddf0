"""Every step of a prediction's way fails in turn; whatever fails, it is answered, and nothing of it is left: X1."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.faults.aftermath import aftermath
from tests.faults.injected import Injection
from tests.faults.raw import read_all
from tests.faults.stages import KINDS, write_models
from tests.faults.told import status
from tests.running import Running, eventually, multipart, running

WEB, RUNTIME = "modelserve.web", "modelserve.runtime"

READING = (f"{WEB}.calls:CallReader.begin", f"{WEB}.calls:CallReader.read")
FORM = (
    f"{WEB}.uploads:Uploads.read",
    f"{WEB}.uploads:clean_filename",
    f"{WEB}.upload_file:UploadFile.write",
    f"{WEB}.upload_file:UploadFile.__aexit__",
)
WAITING = (
    f"{RUNTIME}.deployment:Deployment.check_room",
    f"{RUNTIME}.deployment:Deployment.call",
    f"{RUNTIME}.pending:Pending.of",
    f"{RUNTIME}.queue:Queue.push",
    f"{RUNTIME}.queue:Queue.take",
    f"{RUNTIME}.watch:Watch.wake",
    f"{RUNTIME}.watch:Watch.limit",
    f"{RUNTIME}.dealer:Dealer.came",
)
SENDING = (
    f"{RUNTIME}.dealer:Dealer._freest",
    f"{RUNTIME}.lane:Lane.room",
    f"{RUNTIME}.lane:Lane.send",
    f"{RUNTIME}.process:LocalReplica.send",
    f"{RUNTIME}.channel:Channel.send",
    f"{RUNTIME}.channel:Channel.write",
    f"{RUNTIME}.channel:Channel._pass",
    "modelserve.frames:encode",
)
# Each of these costs the worker, which is begun again at once the first times: no more than three of a model here.
ANSWERING = (
    "modelserve.frames:Receiver.received",
    f"{RUNTIME}.deployment:Deployment.answered",
    f"{RUNTIME}.lane:Lane._learn",
)
ANSWERING_BATCHES = (f"{RUNTIME}.dealer:Dealer.answered", f"{RUNTIME}.lane:Lane._take")
ANSWERING_BESIDE = (f"{RUNTIME}.lane:Lane.answered", f"{RUNTIME}.lane:Lane._ran_s")
PARTS = (
    f"{RUNTIME}.deployment:Deployment.part",
    f"{RUNTIME}.lane:Lane._open",
    f"{RUNTIME}.lane:Lane.part",
    f"{RUNTIME}.streams:Stream.feed",
    f"{RUNTIME}.streams:Stream.__anext__",
    f"{RUNTIME}.process:LocalReplica.more",
    f"{WEB}.streams:send_stream",
)
CACHED = (
    f"{RUNTIME}.cache_key:key_of",
    f"{RUNTIME}.cache:Cache.call",
    f"{RUNTIME}.cache:Cache._find",
    f"{RUNTIME}.cache:Cache._lead",
    f"{RUNTIME}.cache:Cache._answer",
    f"{RUNTIME}.sharing:Run.start",
    f"{RUNTIME}.sharing:Run.give",
    f"{RUNTIME}.kept:Kept.put",
    f"{RUNTIME}.kept:Kept.get",
)
WRITING = (f"{WEB}.direct:DirectResponse.send",)
FILES = (f"{WEB}.files:send_file", f"{WEB}.files:remove", f"{WEB}.responses:begun_response", f"{WEB}.files:_send_piece")
HEADERS = (f"{WEB}.responses:answer_headers", f"{WEB}.direct:header_lines")
COUNTING = (f"{WEB}.counting:Counting.answered",)

# Of these it is tried too that they fail once their work is done: what they have made must be let go.
AFTERWARDS = (READING[0], *FORM)


class Case(NamedTuple):
    """A call of one kind of model, and which steps of its way are to fail."""

    model: str
    mode: str
    steps: tuple[str, ...]
    is_form: bool = False
    deadline_s: int = 0


CASES = {
    "plain": Case("turns", "ok", (*READING, *WAITING, *SENDING, *ANSWERING, *WRITING), deadline_s=15),
    "large": Case("turns", "large", (*SENDING, *WRITING)),
    "form": Case("turns", "ok", (*READING, *FORM, *WAITING[:3], *SENDING), is_form=True),
    "file": Case("turns", "file", FILES),
    "batch": Case("batch", "ok", (*WAITING[:5], *SENDING, *ANSWERING_BATCHES)),
    "async": Case("async", "ok", (*WAITING[:5], *SENDING, *ANSWERING_BESIDE)),
    "stream": Case("stream", "ok", (*SENDING, *PARTS)),
    "cached": Case("cached", "ok", (*CACHED, *SENDING)),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Injection]]:
    folder = tmp_path_factory.mktemp("accounting")
    injection = Injection(folder / "injection", sorted({step for case in CASES.values() for step in case.steps}))
    (folder / "modelserve.toml").write_text("[deployments.cached]\ncache_size = 100\n")
    arguments = [*write_models(folder), "--restart-budget", "10000", "--predict-timeout-s", "15"]
    with running(arguments, visible=[injection.visible], env=injection.env, folder=folder) as server:
        eventually(lambda: server.get("/readyz").status == 200, within_s=40)
        with aftermath(server, "turns", workers=len(KINDS), models=len(KINDS)):
            yield server, injection


_numbers = itertools.count()


def send(server: Running, case: Case) -> bytes:
    """Send a call that no other has been like, and return all that comes; at worst the connection is closed."""
    text = str(next(_numbers))
    if case.is_form:
        body, kind = multipart({"mode": case.mode, "text": text}, {"file": ("a.txt", b"x" * 400_000, "text/plain")})
    else:
        body, kind = json.dumps({"mode": case.mode, "text": text}).encode(), "application/json"
    lines = [f"POST /v2/models/{case.model}/predict/ HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    lines += [
        f"Content-Length: {len(body)}",
        "Connection: close",
        *([f"X-Timeout-S: {case.deadline_s}"] * (case.deadline_s > 0)),
    ]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return read_all(connection)


def is_calm(server: Running, model: str) -> bool:
    """Tell whether nothing is left of any call, and every worker is warm."""
    told = status(server, model)
    workers = told["workers"]
    is_idle = not told["queue_calls"] and not told["queue_bytes"] and not any(each["calls"] for each in workers)
    return is_idle and told["status"] == "ready" and all(each["status"] == "warm" for each in workers)


WAYS = [
    pytest.param(case, step, after, id=f"{name}-{step.rpartition(':')[2]}{'-after' if after else ''}")
    for name, case in CASES.items()
    for step in dict.fromkeys(case.steps)
    for after in (False, True)
    if not after or step in AFTERWARDS
]


@pytest.mark.parametrize(("case", "step", "after"), WAYS)
def test_whatever_step_fails_the_call_is_answered_and_nothing_of_it_is_left(
    served: tuple[Running, Injection], case: Case, step: str, after: bool
) -> None:
    """X1: the call is answered, whether well or with a failure; no worker, place or byte is lost to it."""
    server, injection = served
    with injection.armed(step, "ZeroDivisionError", after=after) as fired:
        answer = send(server, case)
        assert fired(), "the step is none of this call's way"
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 500 ")), answer[:300]
    eventually(lambda: is_calm(server, case.model), within_s=40)
    for _ in range(3):  # as many as would find every place of a worker taken
        assert send(server, case._replace(mode="ok")).startswith(b"HTTP/1.1 200 ")
    eventually(lambda: not server.uploads())
