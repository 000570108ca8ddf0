"""The order in which jobs end, the size of what they need, and an id for each client that no other is given."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns. A client of before has its name for an id: so its jobs, which have the name, stay its own."""
    op.add_column("jobs", sa.Column("ended", sa.BigInteger))
    op.create_index("jobs_by_their_end", "jobs", ["ended"])
    op.add_column("jobs", sa.Column("request_bytes", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE jobs SET request_bytes = COALESCE((SELECT length(request) FROM requests WHERE job = jobs.id), 0)"
        " WHERE status = 'queued'"
    )
    op.add_column("clients", sa.Column("id", sa.String(64), nullable=False, server_default=""))
    op.execute("UPDATE clients SET id = name")
