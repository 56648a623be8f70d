"""Jobs wait in lines, and say more of what they need; workers are cordoned and drained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_QUEUED = sa.text("state = 'queued'")
_WHERE = {"sqlite_where": _QUEUED, "postgresql_where": _QUEUED}


def upgrade() -> None:
    """Add the columns; jobs that wait keep their rank and stand in one line for each."""
    op.add_column("jobs", sa.Column("disk_mb", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("worker_labels", sa.Text()))
    op.add_column("jobs", sa.Column("line", sa.String(96), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("deadline", sa.Float()))
    op.execute("UPDATE jobs SET line = CAST(rank AS VARCHAR(1)) || '/'")
    op.drop_index("jobs_to_hand_out", "jobs")
    op.create_index("jobs_to_hand_out", "jobs", ["state", "line", "not_before", "number"], **_WHERE)
    op.create_index("jobs_by_deadline", "jobs", ["deadline"], **_WHERE)
    for name in ("cordoned", "drain"):
        flag = sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
        op.add_column("workers", flag)


def downgrade() -> None:
    """Drop them."""
    for name in ("cordoned", "drain"):
        op.drop_column("workers", name)
    op.drop_index("jobs_by_deadline", "jobs")
    op.drop_index("jobs_to_hand_out", "jobs")
    op.create_index("jobs_to_hand_out", "jobs", ["state", "rank", "number"], **_WHERE)
    for name in ("deadline", "line", "worker_labels", "disk_mb"):
        op.drop_column("jobs", name)
