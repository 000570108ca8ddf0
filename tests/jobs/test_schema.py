"""The versions of the store's tables, and that nobody loads Alembic who has nothing to change."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

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


def test_an_empty_database_is_given_the_tables_of_the_newest_version(tmp_path: Path) -> None:
    with contextlib.closing(Store.open("", tmp_path)) as store, store.database.reading() as connection:
        assert schema.version(connection) == schema.HEAD
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_store_that_needs_no_migration_is_opened_without_alembic(tmp_path: Path) -> None:
    for _ in range(2):
        opened = subprocess.run(
            [sys.executable, "-c", LOADED, str(tmp_path)], capture_output=True, text=True, check=True
        )
        assert opened.stdout.strip() == ""
