"""``modelserve batch``: predictions for every row of a file, or every file of a folder, without a server."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from modelserve.batch.calls import Wishes
from modelserve.batch.folder import Folder
from modelserve.batch.interface import Source
from modelserve.batch.opening import FORMATS, opened
from modelserve.batch.output import Output
from modelserve.cli.batch_run import DEFAULTS, Asked, Ended, run
from modelserve.cli.batch_screen import duration
from modelserve.cli.flags import settings_from, settings_options
from modelserve.cli.output import STANDARD_OUTPUT
from modelserve.errors import SettingsError

__all__ = ["batch"]

EPILOG = """\b
Examples:
  modelserve batch digits --input pictures/ --output digits.jsonl
  modelserve batch my_model.py --input rows.csv --output answers.jsonl --workers 2
  zcat rows.jsonl.gz | modelserve batch my_model.py --input - --output answers.jsonl
"""

SETTINGS = (
    "group",
    "workers",
    "device",
    "workers_per_gpu",
    "gpu_memory_fraction",
    "python",
    "max_batch_size",
    "max_concurrency",
    "predict_timeout_s",
    "load_timeout_s",
    "warm_timeout_s",
    "max_calls",
    "max_rss_mb",
    "max_body_bytes",
    "max_answer_bytes",
    "unknown_arguments",
    "nan_answers",
    "temp_dir",
    "log_level",
    "log_format",
)

# The flags that are ours; all others are settings.
OWN = ("format", "glob", "field", "constants", "id_column", "accept", "max_errors", "restart", "as_json")


@click.command(epilog=EPILOG)
@click.argument("model")
@click.option("--input", "where", required=True, metavar="FILE|FOLDER|-", help="JSON lines, CSV, Parquet or files.")
@click.option("--output", required=True, metavar="FILE|FOLDER", help="Lines of JSON; in a folder/, a file each.")
@click.option("--format", type=click.Choice(sorted(set(FORMATS.values()))), help="How the input is read.")
@click.option("--glob", default="*", metavar="PATTERN", help="Which files of a folder.  [default: *]")
@click.option("--field", default="", metavar="NAME", help="The argument that gets the files of a folder.")
@click.option("--set", "constants", multiple=True, metavar="NAME=VALUE", help="An argument of every row; repeatable.")
@click.option("--id", "id_column", default="", metavar="COLUMN", help="A column to repeat in the output.")
@click.option("--accept", default="", metavar="TYPE", help="Media type of the answers.")
@click.option("--max-errors", default=0, metavar="NUMBER", type=click.IntRange(0), help="Stop at so many failed rows.")
@click.option("--restart", is_flag=True, help="Begin anew, over an output that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as JSON.")
@settings_options(*SETTINGS)
def batch(model: str, where: str, output: str, **flags: Any) -> int:
    """Predict every row of an input, in batches, and write the answers as JSON lines in the same order.

    A row is a line of JSON, a row of a table below its header, a record of a Parquet file, or a file of a folder. One
    that fails has its error in the output, and the others go on. What was interrupted goes on with the same command.
    """
    if output == STANDARD_OUTPUT:
        raise SettingsError(
            "--output must be a file or a folder, not standard output: a run that is interrupted goes on from it."
        )
    own = {name: flags.pop(name) for name in OWN}
    with contextlib.ExitStack() as stack:
        limit = settings_from(flags, defaults=DEFAULTS).max_body_bytes
        wishes = Wishes(own["accept"], _pairs(own["constants"]), own["field"], own["id_column"], limit)
        is_folder = output.endswith(os.sep) or Path(output).is_dir()
        target = Output(Path(output), is_folder=is_folder)
        source = _source(where, own, target, stack)
        task = {"model": model, "input": source.identity, **_answers_depend_on(wishes)}
        found = stack.enter_context(target.opened(task, restart=own["restart"]))
        if found is not None and found.is_complete:
            ended = Ended("already complete", rows=found.rows, failed=found.failed, rows_now=0, seconds=0.0)
        else:
            asked = Asked(model, source, target, wishes, max_errors=own["max_errors"])
            import uvloop  # no other command that needs no server has a use for it

            ended = uvloop.run(run(asked, flags))
    _tell(ended, target, as_json=own["as_json"])
    return ended.exit_status


def _source(where: str, own: dict[str, Any], target: Output, stack: contextlib.ExitStack) -> Source:
    if where != "-" and Path(where).is_dir():
        but = target.folder or target.path
        return Folder(Path(where), own["glob"], but=but)
    return opened(where, own["format"] or "", stack)


def _answers_depend_on(wishes: Wishes) -> dict[str, Any]:
    return {
        "--accept": wishes.accept,
        "--set": dict(wishes.constants),
        "--field": wishes.field,
        "--id": wishes.id_column,
    }


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    wrong = [text for text in texts if "=" not in text or text.startswith("=")]
    if wrong:
        raise SettingsError(f"--set {wrong[0]} must be NAME=VALUE.")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _tell(ended: Ended, target: Output, *, as_json: bool) -> None:
    """Say how the run ended: to people, or to a program."""
    if as_json:
        rate = round(ended.rows_per_s, 1)
        about = {
            "status": ended.status,
            "rows": ended.rows,
            "failed": ended.failed,
            "rows_now": ended.rows_now,
            "seconds": round(ended.seconds, 3),
            "rows_per_s": rate,
            "output": str(target.path),
            **({"message": ended.why} if ended.why else {}),
        }
        click.echo(json.dumps(about))
        return
    if ended.why:
        click.echo(f"modelserve: {ended.why}", err=True)
    failed = f", {ended.failed:,} of them failed" if ended.failed else ""
    took = f" in {duration(ended.seconds)} ({ended.rows_per_s:,.0f}/s)" if ended.rows_now else ""
    click.echo(f"{ended.status}: {ended.rows:,} rows{failed}{took}: {target.path}", err=True)
    if not ended.is_complete:
        click.echo("The same command goes on from there; --restart begins anew.", err=True)
