"""What inputs give as rows, and what they say of themselves."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from modelserve.batch.calls import CallMaker, Wishes
from modelserve.batch.folder import Folder
from modelserve.batch.lines import BLOCK_BYTES, JsonLines
from modelserve.batch.opening import opened
from modelserve.batch.parquet import Parquet
from modelserve.batch.rows import BatchError
from modelserve.batch.table import Table
from modelserve.errors import SettingsError
from modelserve.messages import Argument, Description, Metadata


def maker(folder: Path, limit: int = 10**6) -> CallMaker:
    description = Description(Metadata("m", "m", "m"), ["predict"], [Argument("x", "", False, {}, {})])
    return CallMaker(description, Wishes(max_row_bytes=limit), scratch=folder, base=folder)


def bodies(tmp_path: Path, content: bytes, *, skip: int = 0, limit: int = 10**6) -> list[bytes]:
    """Return the lines of JSON lines as calls have them, the code of an error in the place of one."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        source = JsonLines(file, path)
        rows = [row for rows in source.rows(maker(tmp_path, limit), skip) for row in rows]
        assert source.read in (source.size, source.size + 1)  # a last line break may be missing
    return [row.call.body if row.failure is None else row.failure.code.encode() for row in rows]


def test_lines_over_several_blocks_are_whole(tmp_path: Path) -> None:
    rows = [b"a" * BLOCK_BYTES, b"b", b"c" * (3 * BLOCK_BYTES), b"d\r"]
    assert bodies(tmp_path, b"\n".join([*rows, b""])) == rows
    assert bodies(tmp_path, b"\n \n" + b"\n".join(rows), skip=2) == rows[2:]


def test_lines_over_the_limit_are_refused_and_not_held(tmp_path: Path) -> None:
    rows = [b"a", b"b" * (3 * BLOCK_BYTES), b"c", b"d" * (2 * BLOCK_BYTES)]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(rows))
    with path.open("rb", buffering=0) as file:
        found = [row for rows in JsonLines(file, path).rows(maker(tmp_path, 100), 0) for row in rows]
    assert [row.failure and row.failure.code for row in found] == [None, "too_large", None, "too_large"]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    """Y10."""
    assert bodies(tmp_path, b'\xef\xbb\xbf{"x": 1}\n{"x": 2}\n') == [b'{"x": 1}', b'{"x": 2}']


def end_with(pipe: BinaryIO, content: bytes) -> None:
    pipe.write(content)
    pipe.close()


def test_a_byte_order_mark_may_come_in_pieces() -> None:
    end, start = os.pipe()
    with open(end, "rb", buffering=0) as read, open(start, "wb", buffering=0) as write:
        lines = JsonLines(read, None)._lines(1000)
        write.write(b"\xef")
        threading.Timer(0.2, end_with, [write, b'\xbb\xbf{"x": 1}\n']).start()
        assert [line for some in lines for line in some] == [b'{"x": 1}']


@pytest.mark.parametrize("header", ['x,"y z"', '"x","y z"'])
def test_a_byte_order_mark_is_no_part_of_a_header(tmp_path: Path, header: str) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{header}\n1,2\n".encode())
    with path.open("rb") as file:
        assert Table(file, path, ",")._names == ["x", "y z"]


def test_an_input_that_cannot_be_read_any_further_says_so(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"")
    with path.open("ab", buffering=0) as file, pytest.raises(BatchError, match="any further: Bad file descriptor"):
        list(JsonLines(file, None).rows(maker(tmp_path), 0))


def rows_of(tmp_path: Path, content: bytes, *, skip: int = 0, limit: int = 10**6) -> list[str]:
    """Return the cells of the column x of a table, what is wrong in the place of a row that is none."""
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    with path.open("rb") as file:
        source = Table(file, path, ",")
        rows = [row for rows in source.rows(maker(tmp_path, limit), skip) for row in rows]
        assert source.read == source.size
    return [row.failure.message if row.failure else dict(row.call.form or ())["x"] for row in rows]


BROKEN = b'x,y\na,1\n"b,2\nc,3\n"d"e,4\nf\rg,5\n"h\ni",6\n\xff,7\nj,8,9\nk\x00,10\n"l,11\nm,12'


def test_a_row_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    """Y10: a quotation mark that is not closed, one in the middle, a line break, bytes, a cell too many, a zero."""
    found = rows_of(tmp_path, BROKEN)
    wrong = [number for number, text in enumerate(found) if len(text) > 3]
    assert [text for number, text in enumerate(found) if number not in wrong] == ["a", "c", "h\ni", "k\0", "m"]
    assert [found[number].partition(" cannot")[0] for number in wrong[:3]] == [
        f"Line {number} of the input" for number in (3, 5, 6)
    ]
    assert "not valid UTF-8" in found[wrong[3]]
    assert "3 cells" in found[wrong[4]]
    assert "Line 12" in found[wrong[5]]


@pytest.mark.parametrize("skip", range(11))
def test_rows_are_counted_with_those_that_cannot_be_read(tmp_path: Path, skip: int) -> None:
    """Y10: a run that goes on skips what it has written."""
    assert rows_of(tmp_path, BROKEN, skip=skip) == rows_of(tmp_path, BROKEN)[skip:]


def test_a_line_over_the_limit_is_refused_and_not_held(tmp_path: Path) -> None:
    """Y10."""
    content = b"x,y\na,1\n" + b"b" * 3_000_000 + b",2\nc,3\n" + b"d," * 2000
    assert [text[:10] for text in rows_of(tmp_path, content, limit=1000)] == ["a", "The row is", "c", "The row is"]


def test_a_table_of_nothing_but_open_quotation_marks_comes_to_an_end(tmp_path: Path) -> None:
    """Y10."""
    path = tmp_path / "in.csv"
    path.write_bytes(b"x\n" + b'"a\nb\n' * 1001)
    with path.open("rb") as file:
        rows = [row for rows in Table(file, path, ",").rows(maker(tmp_path), 0) for row in rows]
    assert len(rows) > 1000
    with path.open("rb") as file:
        source = Table(file, path, ",")
        source._lines._more_again = 10
        with pytest.raises(BatchError, match="not closed"):
            list(source.rows(maker(tmp_path), 0))


def test_a_broken_header_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('"x"y\n')
    with path.open("rb") as file, pytest.raises(SettingsError, match="is no table"):
        Table(file, path, ",")


def test_large_cells_are_read_a_few_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "in.tsv"
    path.write_text("x\n" + "\n".join(["a" * 500_000] * 8))
    with path.open("rb") as file:
        source = Table(file, path, "\t")
        assert [len(rows) for rows in source.rows(maker(tmp_path), 1)] == [3, 3, 1]


def test_a_folder_leaves_out_the_output_of_the_run(tmp_path: Path) -> None:
    for name in ("b", "a", "out.jsonl", "out.jsonl.state", "sub/out.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    source = Folder(tmp_path, "*", but=tmp_path / "out.jsonl")
    assert source.size == 3
    before = source.identity
    assert Folder(tmp_path, "*", but=tmp_path / "sub").size == 4
    (tmp_path / "a").write_text("changed")
    assert Folder(tmp_path, "*", but=tmp_path / "out.jsonl").identity != before


def test_a_pipe_is_only_read_as_json_lines() -> None:
    with contextlib.ExitStack() as stack, pytest.raises(SettingsError, match="as JSON lines, not as csv"):
        opened("-", "csv", stack)


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "in.parquet"
    path.write_bytes(b"")
    with path.open("rb") as file, pytest.raises(SettingsError, match=r"pip install 'modelserve\[batch\]'"):
        Parquet(file, path)


def test_a_parquet_file_that_breaks_off_says_so(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "in.parquet"
    table = pyarrow.table({"x": [os.urandom(50).hex() for _ in range(5000)]})
    parquet.write_table(table, path, row_group_size=500)
    column = parquet.read_metadata(path).row_group(5).column(0)
    with path.open("r+b") as file:
        file.seek(column.dictionary_page_offset or column.data_page_offset)  # where a page's header is
        file.write(b"\xff" * 200)
    with path.open("rb") as file, pytest.raises(BatchError, match="cannot be read any further"):
        list(Parquet(file, path).rows(maker(tmp_path), 0))


def test_a_record_with_a_value_that_python_cannot_hold_spoils_no_other(tmp_path: Path) -> None:
    """Y10."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = pyarrow.array([b"a", b"\xff", b"c"]).view(pyarrow.string())
    days = pyarrow.array([0, 1, 10**9], pyarrow.int32()).view(pyarrow.date32())
    path = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table({"x": texts, "day": days}), path)
    with path.open("rb") as file:
        rows = [row for rows in Parquet(file, path).rows(maker(tmp_path), 0) for row in rows]
    assert [row.failure is None for row in rows] == [True, False, False]
