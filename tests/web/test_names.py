"""Names of hosts that are not answered hold up nobody."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from modelserve.web.names import MOST_THREADS, Names
from tests.web.test_deliveries import until

ENDS = """
import asyncio, socket, time
from modelserve.web.names import Names

async def main():
    try:
        await asyncio.wait_for(Names().addresses("hooks.example.org", 443), 0.1)
    except TimeoutError:
        print("given up", flush=True)

socket.getaddrinfo = lambda *given, **options: time.sleep(600)
asyncio.run(main())
"""


async def test_each_address_of_a_name_is_told_once_and_a_name_that_is_none_is_an_error() -> None:
    assert set(await Names().addresses("localhost", 80)) <= {"127.0.0.1", "::1"}
    for name in ("no.such.name.invalid", "x" * 70 + ".org"):
        with pytest.raises(OSError, match=r"Name or service|label|failure"):
            await Names().addresses(name, 80)


async def test_a_name_that_is_not_answered_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """H22: and what is still asked for is bounded."""
    answered = threading.Event()
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: object, **options: object) -> object:
        if host == "silent":
            answered.wait(60)
        return real("127.0.0.1", 80)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    names = Names()
    asked = [asyncio.create_task(names.addresses("silent", 80)) for _ in range(MOST_THREADS - 1)]
    await asyncio.sleep(0)
    assert await names.addresses("other", 80) == ["127.0.0.1"]
    asked[0].cancel()
    asked.append(asyncio.create_task(names.addresses("silent", 80)))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many names"):
        await names.addresses("other", 80)
    answered.set()
    assert [await each for each in asked[1:]] == [["127.0.0.1"]] * (MOST_THREADS - 1)
    await until(lambda: not names._running)


def test_the_end_of_a_process_waits_for_no_name() -> None:
    """H22, X9."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "given up\n", "")
    assert time.monotonic() - begin < 30
