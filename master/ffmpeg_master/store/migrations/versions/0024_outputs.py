"""Which jobs that have not ended write to one output."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_WRITES = sa.text("finished_at IS NULL AND output_hash IS NOT NULL")


def upgrade() -> None:
    """Add the columns. Of jobs that are there already, workers alone look at the output's place."""
    op.add_column("jobs", sa.Column("output_hash", sa.String(length=32)))
    share = sa.Column("output_share", sa.String(length=12), nullable=False, server_default="")
    op.add_column("jobs", share)
    op.create_index(
        "jobs_by_output",
        "jobs",
        ["output_hash", "output_share"],
        unique=True,
        sqlite_where=_WRITES,
        postgresql_where=_WRITES,
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("jobs_by_output", "jobs")
    op.drop_column("jobs", "output_share")
    op.drop_column("jobs", "output_hash")
