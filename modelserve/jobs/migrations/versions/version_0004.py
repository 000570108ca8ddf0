"""Servers that share a database: beats that are counted, what each serves, what a job is for, and the data folders."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what is new. Jobs of before were validated by nobody knows what, so any model of their name may run them."""
    op.add_column("owners", sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("owners", sa.Column("serves", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("model", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "folders",
        sa.Column("place", sa.String(32), primary_key=True),
        sa.Column("mark", sa.String(32), nullable=False),
    )
