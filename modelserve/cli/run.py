"""``modelserve run``: serve models until told to stop."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from modelserve import discovery
from modelserve.cli import screen
from modelserve.cli.flags import settings_from, settings_options

__all__ = ["run"]

logger = logging.getLogger(__name__)

EPILOG = """\b
Examples:
  modelserve run                                  every installed model
  modelserve run digits --workers 2 --port 8080   one of them, by two processes
  modelserve run my_model.py:Model --device cpu   a file, without packaging
"""


@click.command(epilog=EPILOG)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@settings_options()
def run(models: Sequence[str], **flags: Any) -> int:
    """Serve models over HTTP until SIGTERM or Ctrl-C.

    MODEL is the name of an installed model (see "modelserve models"), package.module[:attr] or file.py[:attr]; without
    one, every installed model is served. Each flag can also be set by a MODELSERVE_ variable (MODELSERVE_PORT=8080) or
    in a settings file (port = 8080).
    """
    settings = settings_from(flags)
    refs = discovery.find(models)
    from modelserve import server  # the web framework is loaded only once the flags are known to be right

    places = {ref.name: ref.name if ref.kind == "entry_point" else ref.target for ref in refs}
    announcer = _Announcer(places, in_logs=settings.log_format == "json")
    return server.run(refs, settings, on_listening=announcer.listening, on_ready=announcer.ready)


class _Announcer:
    """Tells who started the server where it is; the line on standard output is for programs that wait for it."""

    def __init__(self, places: Mapping[str, str], *, in_logs: bool) -> None:
        self._places = places
        self._in_logs = in_logs
        self._screen = screen.console(sys.stderr)

    def listening(self, url: str, names: list[str]) -> None:
        if self._in_logs:  # who reads JSON lines gets nothing else
            pages = ", ".join(url + path for _, path in screen.PAGES)
            logger.info("listening on %s, pages %s, starting %s", url, pages, ", ".join(names))
        else:
            screen.banner(self._screen, url, names)

    def ready(self, url: str, statuses: Mapping[str, str]) -> None:
        if self._in_logs:
            logger.info("ready: %s", ", ".join(f"{name} {status}" for name, status in statuses.items()))
        else:
            screen.show_statuses(self._screen, statuses, self._places)
        click.echo(f"modelserve ready on {url}")
