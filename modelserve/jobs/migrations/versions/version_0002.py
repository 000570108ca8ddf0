"""Callbacks: which ended jobs are still to be told of."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the table. Jobs that have ended before are in none of its rows: nothing was promised for them."""
    op.create_table(
        "callbacks",
        sa.Column("job", NUMBER, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("outcome", sa.String(16), nullable=False),
    )
    op.create_index("callbacks_that_are_due", "callbacks", ["due"])
