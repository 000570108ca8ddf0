"""Samples of py-spy are given to the function and the library that they belong to."""

from __future__ import annotations

from benchmarks.stacks import read

_LINES = [
    "run (uvloop/__init__.py);Runner.run (asyncio/runners.py);run_forever (loop.c:33192);uv_run (core.c:452);"
    "data_received (aiohttp/web_protocol.py);feed_data (_http_parser.c:12655);llhttp__internal__run (llhttp.c:8005) 3",
    "run (uvloop/__init__.py);Runner.run (asyncio/runners.py);_writelines (aiohttp/http_writer.py);write (libc.so.6) 5",
    "Runner.run (asyncio/runners.py);uv__io_poll (linux.c:1546);epoll_pwait (libc.so.6) 1",
    "Runner.run (asyncio/runners.py);run_forever (loop.c:33192);Py_DECREF (object.h:537) 1",
    "main (modelserve/runtime/worker.py);encode (msgspec/_core.c:99);memcpy (libc.so.6) 2",
    "not a sample",
]


def test_every_sample_is_counted_once() -> None:
    shares = read(_LINES)
    assert shares.total == 12 == shares.functions.total() == shares.libraries.total()


def test_libraries_own_their_compiled_parts_and_the_kernel_its_calls() -> None:
    assert read(_LINES).libraries == {"aiohttp": 3, "system calls": 6, "uvloop": 1, "msgspec": 2}


def test_c_code_counts_for_the_python_function_that_called_it() -> None:
    assert read(_LINES).functions == {
        "data_received (aiohttp/web_protocol.py)": 3,
        "write (system call)": 5,
        "epoll_pwait (system call)": 1,
        "uvloop (C)": 1,
        "main (modelserve/runtime/worker.py)": 2,
    }
