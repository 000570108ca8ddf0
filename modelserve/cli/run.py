"""``modelserve run``: serve models until told to stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

import click

from modelserve import discovery
from modelserve.cli import sources
from modelserve.cli.announcing import PAGES, ReadyLine, announce, announce_statuses
from modelserve.cli.flags import settings_from, settings_options
from modelserve.cli.streams import standing
from modelserve.settings import Settings

__all__ = ["run"]

logger = logging.getLogger(__name__)

# What deepaas-run reads; the images of its packages set it.
DEEPAAS_MODEL_VARIABLE = "DEEPAAS_V2_MODEL"

EPILOG = """\b
Examples:
  modelserve run                                  every installed model
  modelserve run digits --workers 2 --port 8080   one of them, by two processes
  modelserve run my_model.py:Model --device cpu   a file, without packaging
"""


@click.command(epilog=EPILOG)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--model-name",
    "named",
    multiple=True,
    metavar="MODEL",
    help="Another way to give a MODEL, as deepaas-run has it.  [default: $DEEPAAS_V2_MODEL where no MODEL is given]",
)
@click.option("--reload", is_flag=True, help="Reload a model when its source changes; for development.")
@settings_options()
def run(models: Sequence[str], named: Sequence[str], reload: bool, **flags: Any) -> int:
    """Serve models over HTTP until SIGTERM or Ctrl-C.

    MODEL is the name of a deployment in the settings file, of an installed model (see "modelserve models"),
    package.module[:attr] or file.py[:attr]. Without one, the deployments of the settings file are served, and where it
    has none, every installed model. Each flag can also be set by a MODELSERVE_ variable (MODELSERVE_PORT=8080) or
    in a settings file (port = 8080).
    """
    signal.signal(signal.SIGTERM, _end)
    with standing():
        wanted = (*models, *named) or tuple(filter(None, [os.environ.get(DEEPAAS_MODEL_VARIABLE)]))
        return _run(wanted, settings_from(flags), watch=reload)


def _end(number: int, frame: types.FrameType | None) -> None:
    """End the program in the time before there is a server that stops; what has been started by then ends too."""
    sys.exit(0)


def _run(models: Sequence[str], settings: Settings, *, watch: bool) -> int:
    refs = discovery.find(models, settings.group, deployments=settings.models, python_of=settings.python_of)
    from modelserve import server  # the web framework is loaded only once the flags are known to be right

    named = {ref.name for ref in refs if ref.kind == "entry_point"} | set(settings.models)
    places = {ref.name: ref.name if ref.name in named else ref.target for ref in refs}
    announcer = _Announcer(places, in_logs=settings.log_format == "json")
    beside = sources.watcher(refs) if watch else None
    with contextlib.closing(announcer.line):
        return server.run(refs, settings, server.Hooks(announcer.listening, announcer.ready, beside))


class _Announcer:
    """Tells who started the server where it is; the line on standard output is for programs that wait for it."""

    def __init__(self, places: Mapping[str, str], *, in_logs: bool) -> None:
        self._places = places
        self._in_logs = in_logs
        self.line = ReadyLine()

    def listening(self, url: str, names: list[str]) -> None:
        if self._in_logs:  # who reads JSON lines gets nothing else
            pages = ", ".join(url + path for _, path in PAGES)
            logger.info("listening on %s, pages %s, starting %s", url, pages, ", ".join(names))
        else:
            announce(url, names)

    def ready(self, url: str, statuses: Mapping[str, str]) -> None:
        if self._in_logs:
            logger.info("ready: %s", ", ".join(f"{name} {status}" for name, status in statuses.items()))
        else:
            announce_statuses(statuses, self._places)
        self.line.say(url)
