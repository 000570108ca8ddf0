"""Tables of a run, as text."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks import report
from benchmarks.figures import Figure
from benchmarks.measure import Row, Schedule
from benchmarks.targets import Verdict

_ROW = Row("adder", 64, 12345.6, 0.654, 1.234, 5.678, 0.1, 50.4, 20.4, 0.3)
_BLOCK = report.Block("small", "Small requests", {"adder": "x + 1"}, (_ROW,), ())
_RESULT = report.Result(
    datetime(2026, 11, 21, tzinfo=UTC),
    "wrk",
    (1,),
    Schedule(),
    (_BLOCK,),
    (Figure("start", "Start", 0.5, "s", 2.0), Figure("pss.server", "PSS", 40.0, "MB", digits=1)),
    (Verdict("Start: at most 1 s", "0.50 s", True), Verdict("PSS: at most 30 MB", "40.00 MB", False)),
    {},
)


def test_markdown_holds_rows_figures_and_verdicts() -> None:
    text = report.markdown(_RESULT)
    assert "| x + 1 | 64 | 12,346 * | 5 | 0.65 | 1.23 | 5.68 | 50 + 20 |" in text
    assert "| Start | 0.50 s | 2.00 |" in text
    assert "| PSS | 40.0 MB |  |" in text
    assert "| Start: at most 1 s | 0.50 s | met |" in text
    assert "| PSS: at most 30 MB | 40.00 MB | **not met** |" in text


def test_the_terminal_shows_the_same() -> None:
    console = Console(file=io.StringIO(), width=120)
    for table in (report.table(_BLOCK), report.figures_table(_RESULT.figures), report.verdicts_table(_RESULT.verdicts)):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert all(text in shown for text in ("Small requests", "12,346 *", "0.50 s", "NO"))


def test_the_json_holds_everything_and_where_it_was_measured(tmp_path: Path) -> None:
    report.write(_RESULT, tmp_path / "deep" / "run.json")
    document = json.loads((tmp_path / "deep" / "run.json").read_text())
    assert document["blocks"][0]["rows"][0]["rate"] == 12345.6
    assert document["figures"][0]["value"] == 0.5
    assert document["started"] == "2026-11-21T00:00:00+00:00"
    assert document["environment"]["cores"] > 0
