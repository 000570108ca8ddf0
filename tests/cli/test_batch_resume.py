"""``modelserve batch`` that was interrupted goes on behind its last whole line, and never over what is another's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.cli.batches import batch, begun, lines, write_rows
from tests.running import are_gone, eventually

ROWS = 4000


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Return an input of which some rows fail."""
    return write_rows(tmp_path / "in.jsonl", ({"x": n if n % 50 else -2 - n} for n in range(ROWS)))


def whole(folder: Path) -> bytes:
    """Return the output of a run that nothing interrupts."""
    assert batch("Sums", "in.jsonl", folder=folder, output="whole.jsonl").status == 1
    return (folder / "whole.jsonl").read_bytes()


def interrupted(folder: Path, number: signal.Signals) -> subprocess.Popen[str]:
    """Begin a slow run, and send it a signal once some of its lines are written; return what is left of it."""
    out = folder / "out.jsonl"
    process: subprocess.Popen[str] = begun("Sums", "in.jsonl", folder=folder, PAUSE_S="0.05")
    eventually(lambda: out.exists() and out.read_bytes().count(b"\n") > 100, within_s=40)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.wait(30)
    eventually(lambda: are_gone(family), within_s=30)
    return process


def test_a_killed_run_goes_on_to_the_very_same_output(tmp_path: Path, rows: Path) -> None:
    process = interrupted(tmp_path, signal.SIGKILL)
    process.communicate()
    out = tmp_path / "out.jsonl"
    before = out.read_bytes()
    with out.open("ab") as file:  # as a kill in the middle of a line leaves it
        file.write(b'{"row":%d,"outp' % before.count(b"\n"))
    assert 100 < before.count(b"\n") < ROWS
    done = batch("Sums", "in.jsonl", "--json", folder=tmp_path)
    found = json.loads(done.out)
    assert (done.status, found["status"], found["rows"], found["failed"]) == (1, "complete", ROWS, ROWS // 50)
    assert found["rows_now"] == ROWS - before.count(b"\n")
    assert out.read_bytes() == whole(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_neatly_and_says_how_to_go_on(tmp_path: Path, rows: Path, number: signal.Signals) -> None:
    process = interrupted(tmp_path, number)
    _, said = process.communicate()
    written = (tmp_path / "out.jsonl").read_bytes()
    assert process.returncode == 128 + number
    assert said.startswith(f"interrupted: {written.count(bytes([10])):,} rows")
    assert said.endswith("The same command goes on from there; --restart begins anew.\n")
    assert "Traceback" not in said
    assert batch("Sums", "in.jsonl", folder=tmp_path).status == 1
    assert (tmp_path / "out.jsonl").read_bytes() == whole(tmp_path)


def test_a_finished_output_is_not_done_again(tmp_path: Path, rows: Path) -> None:
    expected = whole(tmp_path)
    done = batch("Sums", "in.jsonl", folder=tmp_path, output="whole.jsonl", LIVES=str(tmp_path / "lives"))
    assert done.err == f"already complete: {ROWS:,} rows, {ROWS // 50} of them failed: whole.jsonl\n"
    assert (done.status, (tmp_path / "whole.jsonl").read_bytes()) == (1, expected)
    assert not (tmp_path / "lives").exists()


def test_an_output_of_another_task_is_left_alone_until_told_otherwise(tmp_path: Path, rows: Path) -> None:
    expected = whole(tmp_path)
    os.utime(rows, ns=(1, 1))
    done = batch("Sums", "in.jsonl", "--set", "y=1", folder=tmp_path, output="whole.jsonl")
    assert done.status == 2
    assert done.err.startswith("modelserve: whole.jsonl was begun with another --set, input. --restart begins anew;")
    assert (tmp_path / "whole.jsonl").read_bytes() == expected
    again = batch("Sums", "in.jsonl", "--restart", folder=tmp_path, output="whole.jsonl")
    assert (again.status, (tmp_path / "whole.jsonl").read_bytes()) == (1, expected)


def test_a_restart_with_a_wrong_model_destroys_nothing(tmp_path: Path, rows: Path) -> None:
    expected = whole(tmp_path)
    done = batch("NoSuch", "in.jsonl", "--restart", folder=tmp_path, output="whole.jsonl")
    assert (done.status, (tmp_path / "whole.jsonl").read_bytes()) == (3, expected)


def test_a_file_that_no_run_wrote_is_left_alone(tmp_path: Path, rows: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine\n")
    done = batch("Sums", "in.jsonl", folder=tmp_path)
    assert (done.status, (tmp_path / "out.jsonl").read_text()) == (2, "mine\n")
    assert done.err == "modelserve: out.jsonl is there, and no batch run wrote it. --restart begins anew.\n"


def test_an_output_that_was_cut_or_whose_state_is_torn_is_left_alone(tmp_path: Path, rows: Path) -> None:
    whole(tmp_path)
    os.truncate(tmp_path / "whole.jsonl", 100)
    done = batch("Sums", "in.jsonl", folder=tmp_path, output="whole.jsonl")
    assert (done.status, "whole.jsonl is shorter than it was. --restart begins anew." in done.err) == (2, True)
    (tmp_path / "whole.jsonl.state").write_text("{")
    done = batch("Sums", "in.jsonl", folder=tmp_path, output="whole.jsonl")
    assert (done.status, "whole.jsonl.state cannot be read: " in done.err) == (2, True)


def test_two_runs_never_write_one_output(tmp_path: Path, rows: Path) -> None:
    out = tmp_path / "out.jsonl"
    first = begun("Sums", "in.jsonl", folder=tmp_path, PAUSE_S="0.05")
    eventually(lambda: out.exists() and out.stat().st_size, within_s=40)
    second = batch("Sums", "in.jsonl", folder=tmp_path)
    first.terminate()
    first.communicate(timeout=30)
    assert (second.status, second.err) == (2, "modelserve: Another modelserve batch writes out.jsonl now.\n")


def test_too_many_errors_stop_the_run(tmp_path: Path, rows: Path) -> None:
    done = batch("Sums", "in.jsonl", "--max-errors", "3", folder=tmp_path)
    found = lines(tmp_path / "out.jsonl")
    assert done.status == 1
    assert done.err.startswith("stopped: ")
    assert sum("error" in line for line in found) >= 3
    assert len(found) < ROWS
    assert batch("Sums", "in.jsonl", folder=tmp_path).status == 1
    assert (tmp_path / "out.jsonl").read_bytes() == whole(tmp_path)


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in"])
def test_every_kind_of_input_is_gone_on_with(tmp_path: Path, name: str) -> None:
    model = "Reads" if name == "in" else "Turns"
    if name == "in":
        (tmp_path / name).mkdir()
        for number in range(40):
            (tmp_path / name / f"{number}.txt").write_text(str(number))
    elif name == "in.csv":
        (tmp_path / name).write_text("x\n" + "\n".join(map(str, range(2000))))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"x": range(2000)}), tmp_path / name)
    assert batch(model, name, folder=tmp_path).status == 0
    out = tmp_path / "out.jsonl"
    expected = out.read_bytes()
    state = json.loads((tmp_path / "out.jsonl.state").read_text())
    cut = expected.index(b"\n", len(expected) // 2) + 1
    out.write_bytes(expected[:cut])
    earlier = {"rows": 0, "failed": 0, "bytes": 0, "is_complete": False}  # as it is just after the beginning
    (tmp_path / "out.jsonl.state").write_text(json.dumps(state | earlier))
    done = json.loads(batch(model, name, "--json", folder=tmp_path).out)
    assert done["rows_now"] == expected[cut:].count(b"\n")
    assert out.read_bytes() == expected
