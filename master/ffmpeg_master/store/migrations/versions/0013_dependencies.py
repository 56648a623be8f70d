"""Jobs wait for other jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_QUEUED = sa.text("state = 'queued'")
_READY = sa.text("state = 'queued' AND NOT blocked")
_OVER = sa.text("awaited AND finished_at IS NOT NULL")
_LINE = ["state", "line", "not_before", "number"]


def upgrade() -> None:
    """Add the columns and the table; no job that is there waits for another."""
    for name in ("blocked", "awaited"):
        flag = sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
        op.add_column("jobs", flag)
    op.drop_index("jobs_to_hand_out", "jobs")
    op.create_index("jobs_to_hand_out", "jobs", _LINE, sqlite_where=_READY, postgresql_where=_READY)
    op.create_index("jobs_over", "jobs", ["id"], sqlite_where=_OVER, postgresql_where=_OVER)
    op.create_table(
        "dependencies",
        sa.Column("job_id", sa.String(length=12), nullable=False),
        sa.Column("on_id", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "on_id"),
    )
    op.create_index("dependencies_by_on", "dependencies", ["on_id"])


def downgrade() -> None:
    """Drop them; what waited for another job no longer does."""
    op.drop_table("dependencies")
    op.drop_index("jobs_over", "jobs")
    op.drop_index("jobs_to_hand_out", "jobs")
    op.create_index(
        "jobs_to_hand_out", "jobs", _LINE, sqlite_where=_QUEUED, postgresql_where=_QUEUED
    )
    for name in ("awaited", "blocked"):
        op.drop_column("jobs", name)
