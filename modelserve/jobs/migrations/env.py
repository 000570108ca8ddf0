"""Runs the versions on the connection that schema.py gives; it opens none, and leaves logging as it is."""

from alembic import context

from modelserve.jobs.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
