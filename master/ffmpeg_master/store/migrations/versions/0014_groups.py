"""Jobs may belong to a group."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_GROUPED = sa.text("group_name IS NOT NULL")
_COLUMNS = ["group_name", "number", "tenant", "state"]


def upgrade() -> None:
    """Add the column; the jobs that are there belong to none."""
    op.add_column("jobs", sa.Column("group_name", sa.String(63)))
    op.create_index(
        "jobs_by_group", "jobs", _COLUMNS, sqlite_where=_GROUPED, postgresql_where=_GROUPED
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("jobs_by_group", "jobs")
    op.drop_column("jobs", "group_name")
