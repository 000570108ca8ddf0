"""The first version of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _make_jobs()
    for name, column in (("requests", "request"), ("outputs", "output")):
        op.create_table(
            name,
            sa.Column(
                "job", NUMBER, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
            ),
            sa.Column(column, sa.LargeBinary, nullable=False),
        )
    op.create_table(
        "points",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("job", NUMBER, _to_a_job(), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
    )
    op.create_index("points_of_a_job", "points", ["job", "id"])
    op.create_table(
        "owners",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("beat", sa.Double, nullable=False),
    )


def _make_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.String(32), nullable=False, unique=True),
        sa.Column("deployment", sa.Text, nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("finished", sa.Double),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("progress", sa.Double),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("points", sa.Integer, nullable=False),
        sa.Column("output_bytes", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("place", sa.String(32), nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("callback_url", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("args", sa.Text, nullable=False),
        sa.UniqueConstraint("deployment", "operation", "key", name="one_job_of_a_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_of_a_list", "jobs", ["deployment", "operation", "id"])
    op.create_index("jobs_in_a_queue", "jobs", ["status", "id", "deployment", "operation", "place"])


def _to_a_job() -> sa.ForeignKey:
    return sa.ForeignKey("jobs.id", ondelete="CASCADE")
