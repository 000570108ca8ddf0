"""The migrations make the tables that the store uses, and nobody else notices that there are migrations."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from modelserve.jobs import schema
from modelserve.jobs.store import Store
from modelserve.jobs.tables import metadata

LOADED = """
import pathlib, sys
from modelserve.jobs.store import Store
Store.open("", pathlib.Path(sys.argv[1])).close()
print(*(name for name in sys.modules if name.partition(".")[0] in {"alembic", "mako"}))
"""


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def test_the_newest_version_is_the_last_of_the_migrations() -> None:
    assert scripts().get_heads() == [schema.HEAD]


def test_every_version_of_the_migrations_is_known_and_no_other() -> None:
    versions = [script.revision for script in scripts().walk_revisions()]
    assert not any(map(schema.is_newer, ["", *versions]))
    assert schema.is_newer("0000")


def test_the_migrations_make_the_tables_that_the_store_uses(tmp_path: Path) -> None:
    with contextlib.closing(Store.open("", tmp_path)) as store, store.database.reading() as connection:
        assert schema.version(connection) == schema.HEAD
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_migration_leaves_logging_as_it_is(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers), root.disabled, logging.getLogger("modelserve").disabled)
    Store.open("", tmp_path).close()
    assert (root.level, list(root.handlers), root.disabled, logging.getLogger("modelserve").disabled) == before


@pytest.mark.parametrize("folder", ["plain", "100%(here)s"])
def test_alembic_is_loaded_only_where_there_is_something_to_change(tmp_path: Path, folder: str) -> None:
    command = [sys.executable, "-c", LOADED, str(tmp_path / folder)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert "alembic" in first
    assert second.strip() == ""
