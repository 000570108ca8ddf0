"""``modelserve batch`` holds little in memory, shows how far it is, and lives with pipes and full disks."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cli.batches import MODELS, batch, begun, lines, write_rows
from tests.cli.program import environment
from tests.running import eventually

MEGABYTE = 1024**2


def memory_while(process: subprocess.Popen[str], out: Path) -> list[tuple[int, int]]:
    """Return (bytes written, resident memory) of a run again and again until it ends."""
    program, seen = psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            seen.append((out.stat().st_size if out.exists() else 0, program.memory_info().rss))
        except psutil.Error:
            break
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    process.communicate()
    return [(size, rss) for size, rss in seen if rss]


def check_flat(tmp_path: Path, count: int) -> None:
    write_rows(tmp_path / "in.jsonl", ({"x": number, "words": ["a" * 50]} for number in range(count)))
    seen = memory_while(begun("Sums", "in.jsonl", folder=tmp_path), tmp_path / "out.jsonl")
    total = (tmp_path / "out.jsonl").stat().st_size
    early = max(rss for size, rss in seen if 0 < size < total / 3)
    late = max(rss for size, rss in seen if size > total * 2 / 3)
    assert late < early + 16 * MEGABYTE, (early // MEGABYTE, late // MEGABYTE)
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == count


@pytest.mark.timeout(600)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    check_flat(tmp_path, 200_000)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_memory_does_not_grow_with_a_million_rows(tmp_path: Path) -> None:
    check_flat(tmp_path, 1_000_000)


def test_large_rows_are_not_held_together(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ({"x": number, "words": ["a" * 2_000_000]} for number in range(250)))
    seen = memory_while(begun("Sums", "in.jsonl", folder=tmp_path), tmp_path / "out.jsonl")
    assert len(lines(tmp_path / "out.jsonl")) == 250
    assert max(rss for _, rss in seen) < 600 * MEGABYTE  # rows and answers are 1000 MB together


def test_a_pipe_is_answered_as_it_comes(tmp_path: Path) -> None:
    arguments = ["batch", f"{MODELS}:Sums", "--input", "-", "--output", "out.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "modelserve", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"x": 1}\n{"x": 2}\n{"x"')
    process.stdin.flush()
    out = tmp_path / "out.jsonl"
    eventually(lambda: out.exists() and out.read_bytes().count(b"\n") == 2, within_s=40)
    _, said = process.communicate(b": 3}", timeout=40)
    assert (process.returncode, len(lines(out))) == (0, 3), said


def test_ctrl_c_ends_a_run_that_waits_for_a_pipe(tmp_path: Path) -> None:
    arguments = ["batch", f"{MODELS}:Sums", "--input", "-", "--output", "out.jsonl"]
    process = subprocess.Popen(
        [sys.executable, "-m", "modelserve", *arguments],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b'{"x": 1}\n')
    process.stdin.flush()
    out = tmp_path / "out.jsonl"
    eventually(lambda: out.exists() and out.read_bytes().count(b"\n"), within_s=40)
    process.terminate()
    assert process.wait(30) == 143
    process.communicate()


def test_a_terminal_shows_a_bar_with_rate_and_errors(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ({"x": n if n else -2} for n in range(1500)))
    ours, its = pty.openpty()
    arguments = ["batch", f"{MODELS}:Sums", "--input", "in.jsonl", "--output", "out.jsonl"]
    variables = environment(tmp_path, {"PAUSE_S": "0.05", "TERM": "xterm", "COLUMNS": "120"})
    process = subprocess.Popen(
        [sys.executable, "-m", "modelserve", *arguments], cwd=tmp_path, env=variables, stderr=its
    )
    os.close(its)
    written = b""
    while chunk := _read(ours):
        written += chunk
    os.close(ours)
    assert process.wait(40) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode())
    assert re.search(r"\d+% [\d,]+ rows, [\d,]+/s, 1 failed, \d+ s left", text)
    assert "complete: 1,500 rows, 1 of them failed in " in text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that the other end is closed
        return b""


def test_a_model_that_cannot_start_is_status_3(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1}])
    done = batch("NoSuch", "in.jsonl", folder=tmp_path)
    assert (done.status, done.out) == (3, "")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_that_cannot_be_started_again_stops_the_run_and_spoils_no_row(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ({"x": -1 if number == 700 else number} for number in range(1000)))
    done = batch("Once", "in.jsonl", folder=tmp_path, LIVES=str(tmp_path / "lives"))
    assert done.status == 1
    assert done.err.startswith("modelserve: The model cannot be run any more: ")
    assert "The same command goes on from there" in done.err
    assert all("output" in line for line in lines(tmp_path / "out.jsonl"))
    assert len(lines(tmp_path / "out.jsonl")) <= 700


def test_an_output_that_takes_no_more_stops_the_run(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ({"x": number} for number in range(20_000)))
    arguments = f"batch {MODELS}:Sums --input in.jsonl --output out.jsonl"
    limited = f"ulimit -f 300; exec {sys.executable} -m modelserve {arguments}"  # blocks of 1024 bytes
    done = subprocess.run(
        ["bash", "-c", limited], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 1, done.stderr
    assert "out.jsonl cannot be written: File too large." in done.stderr
    assert "Traceback" not in done.stderr
    assert batch("Sums", "in.jsonl", folder=tmp_path).status == 0
    assert [line["row"] for line in lines(tmp_path / "out.jsonl")] == list(range(20_000))
