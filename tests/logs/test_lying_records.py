"""What a worker writes behind its own mark and is no record, or nearly one: it is shown as text, and nothing else.

What is made up comes from a seed, which a failure prints; ``FUZZ_SEED`` repeats it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Iterator

import pytest

from modelserve.logs.form import JsonFormatter, TextFormatter
from modelserve.logs.kept import KeptLogs
from modelserve.logs.passing import PassedFormatter
from modelserve.runtime.hearing import Hearing
from modelserve.supervised import Supervisor
from tests.faults.mutations import SEED, WORDS, Mutations

# So many lines of one worker before the canary; more in a second would be a flood, of which some is left out.
LINES = 20

# What a record is made of, with what it is not.
MORE_WORDS = (
    *(
        b'"levelno": "x"',
        b'"created": NaN',
        b'"created": 1e300',
        b'"msecs": []',
        b'"fields": {"msg": 1}',
        b"[" * 60_000,
    ),
    *(b'"levelname": 7', b'"name": null', b'"msg": {}', b'"traceback": 5', b'"exc_info": true', b'"args": [1, 2]'),
    *(
        b'{"fields": {}, "levelno": "x", "msg": "m"}',
        b'"fields": {"exc_info": 1, "stack_info": 2}',
        b"\x1e",
        b'"%d %s"',
    ),
    *(b'"created": true', b'"levelno": 1' + b"0" * 400, b'{"fields": {"args": 3}}', b'"%d %s"'),
    *(b"[" * 60_000, b'"fields": {"__class__": 1}'),
)


class Sink(logging.Handler):
    """Formats every record in both forms, as the server's own handlers do, and notes what fails."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = queue.Queue[str]()
        self.failed: list[str] = []
        self._kept = KeptLogs(["m"], lines=10)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            JsonFormatter().format(record)
            self._kept.emit(record)
            self.lines.put(TextFormatter().format(record))
        except Exception as error:
            self.failed.append(f"{error!r}: {vars(record)}")


@contextlib.contextmanager
def opened() -> Iterator[tuple[Hearing, Sink, Supervisor]]:
    supervisor, sink, log = Supervisor(), Sink(), logging.getLogger("modelserve.workers")
    hearing = Hearing(supervisor)
    log.addHandler(sink)
    hearing.start()
    try:
        yield hearing, sink, supervisor
    finally:
        hearing.close()
        log.removeHandler(sink)


@pytest.mark.parametrize("time_s", [4, pytest.param(120, marks=[pytest.mark.soak, pytest.mark.timeout(300)])])
def test_what_is_nearly_a_record_is_shown_and_the_next_line_is_read(time_s: int) -> None:
    """X6."""
    print(f"FUZZ_SEED={SEED}")  # noqa: T201
    end_s, number = time.monotonic() + time_s, 0
    with opened() as (hearing, sink, supervisor):
        while time.monotonic() < end_s:
            number += 1
            ear = hearing.open(f"m{number}", "w")
            written = lines_with(ear.mark, SEED + number)
            end = f"canary {number}".encode() + b"\n"
            with open(ear.their_end, "wb") as file:
                file.write(b"\n".join(written) + b"\n" + end)
            assert seen(sink, f"canary {number} "), f"FUZZ_SEED={SEED}: {written}"
            assert not sink.failed, f"FUZZ_SEED={SEED}: {sink.failed}"
            assert not any(supervisor.failures().values()), f"FUZZ_SEED={SEED}: {written}"


def lines_with(mark: str, seed: int) -> list[bytes]:
    """Return lines that begin with the mark."""
    record = {"name": "model", "levelno": 30, "levelname": "WARNING", "msg": "said %s", "step": 3, "text": "a\nb"}
    good = PassedFormatter("").format(logging.makeLogRecord(record)).encode()
    mutations = Mutations(seed, [good], [*WORDS, *MORE_WORDS])
    return [mark.encode() + mutations.next().replace(b"\n", b" ") for _ in range(LINES)]


def seen(sink: Sink, words: str) -> bool:
    """Tell whether a line with these words comes within some seconds."""
    with contextlib.suppress(queue.Empty):
        while words not in f"{sink.lines.get(timeout=10)} ":
            pass
        return True
    return False
