"""``modelserve batch`` answers every row of every kind of input, in order, and says what failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.batches import batch, lines, write_rows


def envelope(value: object) -> dict[str, object]:
    return {"status": "OK", "predictions": value}


def test_rows_of_json_are_answered_in_order_by_several_workers(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ({"x": number} for number in range(3000)))
    done = batch("Sums", "in.jsonl", "--workers", "2", folder=tmp_path)
    assert (done.status, done.out) == (0, "")
    assert lines(tmp_path / "out.jsonl") == [{"row": n, "output": envelope(n + 0.5)} for n in range(3000)]
    assert "complete: 3,000 rows in " in done.err


def test_a_row_that_fails_has_its_error_and_the_others_go_on(tmp_path: Path) -> None:
    rows = ['{"x": 1}', "", '{"x": -2}', "{torn", '{"z": 1}', "[1]", '{"x": 2}']
    (tmp_path / "in.jsonl").write_text("\n".join(rows))  # no line break at the end
    done = batch("Sums", "in.jsonl", folder=tmp_path)
    found = lines(tmp_path / "out.jsonl")
    assert [line["row"] for line in found] == [0, 1, 2, 3, 4, 5]
    assert found[0]["output"] == envelope(1.5)
    assert found[5]["output"] == envelope(2.5)
    errors = [line["error"] for line in found[1:5]]
    assert [(error["status"], error["code"]) for error in errors] == [
        (500, "model_error"),
        (400, "bad_request"),
        (422, "invalid"),
        (422, "invalid"),
    ]
    assert errors[0]["cause"] == "ValueError: -2.0 is less than nothing"
    assert sorted(errors[2]["fields"]) == ["x", "z"]
    assert (done.status, "6 rows, 4 of them failed" in done.err) == (1, True)


@pytest.mark.parametrize(("model", "bad"), [("Sums", (40, 41)), ("Turns", (300,))])
def test_a_row_that_ends_its_worker_fails_alone(tmp_path: Path, model: str, bad: Sequence[int]) -> None:
    rows = [{"x": -1 if number in bad else number} for number in range(500)]
    write_rows(tmp_path / "in.jsonl", rows)
    done = batch(model, "in.jsonl", folder=tmp_path)
    found = lines(tmp_path / "out.jsonl")
    assert [line["row"] for line in found] == list(range(500))
    failed = {line["row"]: line["error"]["code"] for line in found if "error" in line}
    assert failed == dict.fromkeys(bad, "worker_died")
    assert done.status == 1


def test_arguments_go_where_the_model_reads_them(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1, "where": "ü&", "words": ["a"], "array": [1, 2.5]}])
    assert batch("Sums", "in.jsonl", folder=tmp_path).status == 0
    (line,) = lines(tmp_path / "out.jsonl")
    assert line["output"] == envelope({"sum": 1.5, "words": ["a"], "where": "ü&", "array": [1.0, 2.5]})


def test_constants_hold_for_every_row_and_an_id_is_repeated(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1, "key": "a"}, {"x": -2, "key": 7}])
    batch("Sums", "in.jsonl", "--set", "y=10", "--id", "key", folder=tmp_path)
    first, second = lines(tmp_path / "out.jsonl")
    assert first == {"row": 0, "id": "a", "output": envelope(11)}
    assert (second["row"], second["id"], second["error"]["code"]) == (1, 7, "model_error")


def test_a_table_gives_texts_and_an_empty_cell_is_not_given(tmp_path: Path) -> None:
    table = '\ufeffx,y,words,where\n1,,"a, b",\n\n2,3,"c\nd",there\n5\nü,1,,\n'
    (tmp_path / "in.csv").write_bytes(table.encode() + b"6,1,\xff,\n")
    done = batch("Sums", "in.csv", folder=tmp_path)
    found = lines(tmp_path / "out.jsonl")
    assert found[0]["output"] == envelope({"sum": 1.5, "words": ["a, b"]})
    assert found[1]["output"] == envelope({"sum": 5.0, "words": ["c\nd"], "where": "there"})
    assert [line["error"]["code"] for line in found[2:]] == ["bad_request", "invalid", "bad_request"]
    assert found[2]["error"]["message"] == "The row has 1 cells, and the header 4."
    assert done.status == 1


def test_a_parquet_file_gives_its_columns(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    count = 2000
    columns = {"x": range(count), "y": [None if number % 2 else 1.0 for number in range(count)]}
    arrays = {"array": [[number, 1.0] for number in range(count)]}
    parquet.write_table(pyarrow.table(columns | arrays), tmp_path / "in.parquet", row_group_size=300)
    done = batch("Sums", "in.parquet", folder=tmp_path)
    assert (done.status, "2,000 rows" in done.err) == (0, True)
    for number, line in enumerate(lines(tmp_path / "out.jsonl")):
        expected = {"sum": number + (0.5 if number % 2 else 1), "array": [number, 1.0]}
        assert line == {"row": number, "output": envelope(expected)}


def make_folder(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "inner/c.txt", "inner/d.md", ".hidden/e.txt"):
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.stem)


def test_a_folder_gives_its_files_and_keeps_them(tmp_path: Path) -> None:
    make_folder(tmp_path)
    done = batch("Reads", "files", "--glob", "*.txt", "--set", "times=2", folder=tmp_path)
    assert (done.status, "3 rows" in done.err) == (0, True)
    assert lines(tmp_path / "out.jsonl") == [
        {"row": n, "input": name, "output": envelope({"name": name.rpartition("/")[2], "text": text})}
        for n, (name, text) in enumerate([("a.txt", "aa"), ("b.txt", "bb"), ("inner/c.txt", "cc")])
    ]
    assert (tmp_path / "files" / "a.txt").read_text() == "a"


def test_rows_name_files_from_the_folder_of_the_input(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "files" / "in.csv").write_text("text,times\na.txt,3\nno.txt,1\n")
    done = batch("Reads", "files/in.csv", folder=tmp_path)
    first, second = lines(tmp_path / "out.jsonl")
    assert first["output"] == envelope({"name": "a.txt", "text": "aaa"})
    assert second["error"]["message"].endswith("no.txt cannot be read: No such file or directory.")
    assert done.status == 1


def test_answers_of_another_type_are_files_of_a_folder(tmp_path: Path) -> None:
    make_folder(tmp_path)
    done = batch("Reads", "files", "--glob", "*.txt", "--accept", "image/png", folder=tmp_path, output="png/")
    assert done.status == 0
    assert lines(tmp_path / "png" / "index.jsonl")[1] == {
        "row": 1,
        "input": "b.txt",
        "file": "00000001.png",
        "content_type": "image/png",
    }
    assert (tmp_path / "png" / "00000002.png").read_bytes() == b"\x89PNGc"


def test_standard_output_is_no_output_as_no_run_could_go_on_from_it(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1}])
    done = batch("Sums", "in.jsonl", folder=tmp_path, output="-")
    assert (done.status, done.out) == (2, "")
    assert "--output must be a file or a folder, not standard output" in done.err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("-")] == []


def test_answers_that_no_line_holds_need_a_folder(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1}])
    done = batch("Draws", "in.jsonl", folder=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "The answers are image/png, which no line holds: let --output be a folder" in done.err
    assert not (tmp_path / "out.jsonl").exists()
    assert batch("Draws", "in.jsonl", folder=tmp_path, output="png/").status == 0
    assert (tmp_path / "png" / "00000000.png").read_bytes() == b"\x89PNG1"


def test_an_answer_that_is_a_text_file_is_a_text(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"text": "a b"}, {"text": "c"}])
    assert batch("Writes", "in.jsonl", folder=tmp_path).status == 0
    assert [line["output"] for line in lines(tmp_path / "out.jsonl")] == ["a b", "c"]
    assert batch("Writes", "in.jsonl", folder=tmp_path, output="texts/").status == 0
    assert (tmp_path / "texts" / "00000000.txt").read_text() == "a b"


def test_a_streamed_answer_is_a_list(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"n": n} for n in (2, 0, 3)])
    assert batch("Counts", "in.jsonl", folder=tmp_path).status == 0
    outputs = [line["output"] for line in lines(tmp_path / "out.jsonl")]
    assert outputs == [[{"number": number} for number in range(n)] for n in (2, 0, 3)]


def test_a_row_over_the_limit_is_an_error_of_that_row(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"x": 1}, {"x": 2, "words": ["a" * 300_000]}, {"x": 3}]
    write_rows(tmp_path / "in.jsonl", rows)
    batch("Sums", "in.jsonl", "--max-body-bytes", "1000", folder=tmp_path)
    assert [line.get("error", {}).get("code") for line in lines(tmp_path / "out.jsonl")] == [None, "too_large", None]


def test_json_says_how_it_ended(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1}, {"x": -2}])
    done = batch("Sums", "in.jsonl", "--json", folder=tmp_path)
    found = json.loads(done.out)
    assert (done.status, done.err) == (1, "")
    assert found.pop("seconds") > 0
    assert found.pop("rows_per_s") > 0
    assert found == {"status": "complete", "rows": 2, "failed": 1, "rows_now": 2, "output": "out.jsonl"}


WRONG = [
    (["no.jsonl"], "--input no.jsonl cannot be read: No such file or directory."),
    (["in.txt"], "--input in.txt is none of .jsonl, "),
    (["in.jsonl", "--set", "y"], "--set y must be NAME=VALUE."),
    (["in.jsonl", "--set", "z=1"], "--set z: this model has no such argument."),
    (["in.jsonl", "--accept", "image/png"], "--accept image/png: this model answers with application/json."),
    (["in.jsonl", "--format", "parquet"], "--input in.jsonl is no Parquet file: "),
    (["empty.csv"], "--input empty.csv is empty, and needs a header."),
    (["twice.csv"], "--input twice.csv names x twice in its header."),
    (["empty"], "--input empty has no file that fits --glob *."),
    (["full"], "--field must say which argument gets the files; there is none."),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_cannot_be_done_is_said_in_one_sentence(tmp_path: Path, arguments: list[str], words: str) -> None:
    write_rows(tmp_path / "in.jsonl", [{"x": 1}])
    (tmp_path / "in.txt").write_text("")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "twice.csv").write_text("x,x\n1,2\n")
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "a").write_text("a")
    done = batch("Sums", *arguments, folder=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"modelserve: {words}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()
