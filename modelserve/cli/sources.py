"""For ``modelserve run --reload``: watches the source of the models, and reloads a deployment when its own changes.

    ModelRef -> its file's folder, or its package's folders -> a change of a Python file there -> Fleet.reload

Nothing is imported to find out where a model's source is. A new version that cannot start leaves the old one serving.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.machinery import PathFinder
from typing import NamedTuple

from modelserve.discovery import ModelRef
from modelserve.errors import ModelserveError, SettingsError
from modelserve.runtime.fleet import Fleet

__all__ = ["Source", "source_of", "watcher"]

logger = logging.getLogger(__name__)


class Source(NamedTuple):
    """The folders a model's source lies in, and whether those below them count."""

    folders: tuple[str, ...]
    is_deep: bool


def watcher(refs: Sequence[ModelRef]) -> Callable[[Fleet], Awaitable[None]]:
    """Return what watches the source of these models beside a server.

    Raises:
        SettingsError: The package that watches files is not installed.
    """
    try:
        import watchfiles  # noqa: F401 - it is used below, where there is no way back
    except ImportError as error:
        sentence = "--reload needs a package that is not installed: pip install 'modelserve[reload]'."
        raise SettingsError(sentence) from error
    found = {ref.name: source_of(ref) for ref in refs}

    async def watch(fleet: Fleet) -> None:
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it has a line for each change, as we do
        for name in (name for name, source in found.items() if source is None):
            logger.warning("not watched, since its source is not in this environment", extra={"deployment": name})
        await asyncio.gather(*(_watch(fleet, name, source) for name, source in found.items() if source is not None))

    return watch


def source_of(ref: ModelRef) -> Source | None:
    """Return where a model's source lies, None where it lies nowhere, or only another interpreter can find it.

    A file may import its neighbours, but a folder of files may be anybody's home, so those below it do not count.
    """
    place = ref.target.partition(":")[0]
    if ref.kind == "pickled":
        return None
    if ref.kind == "file":
        return Source((os.path.dirname(place),), is_deep=False)
    if ref.python:
        return None
    top = place.partition(".")[0]
    spec = importlib.util.find_spec(top) or PathFinder.find_spec(top, [os.getcwd()])
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        return Source(tuple(os.path.abspath(folder) for folder in spec.submodule_search_locations), is_deep=True)
    return Source((os.path.dirname(os.path.abspath(spec.origin)),), is_deep=False) if spec.origin else None


async def _watch(fleet: Fleet, name: str, source: Source) -> None:
    from watchfiles import PythonFilter, awatch

    extra: Mapping[str, str] = {"deployment": name}
    batches = awatch(*source.folders, recursive=source.is_deep, watch_filter=PythonFilter())
    coming = asyncio.ensure_future(anext(batches))
    await asyncio.sleep(0)  # it has begun to wait, so from here on no change is missed
    logger.info("watching %s", ", ".join(source.folders), extra=extra)
    while True:
        changed = sorted({os.path.basename(path) for _, path in await coming})
        logger.info("reloading, for %s changed", ", ".join(changed), extra=extra)
        with contextlib.suppress(ModelserveError):  # the log has said why the old version stays
            await fleet.reload(name)
        coming = asyncio.ensure_future(anext(batches))
