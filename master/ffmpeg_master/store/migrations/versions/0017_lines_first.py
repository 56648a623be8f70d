"""Lines are found by one step each on PostgreSQL too, which sees no use in a column that is the
same in all rows of a partial index."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_READY = text("state = 'queued' AND NOT blocked")
_WHERE = {"sqlite_where": _READY, "postgresql_where": _READY}


def upgrade() -> None:
    """Make the index anew."""
    op.drop_index("jobs_to_hand_out", "jobs")
    op.create_index("jobs_to_hand_out", "jobs", ["line", "state", "not_before", "number"], **_WHERE)


def downgrade() -> None:
    """As it was."""
    op.drop_index("jobs_to_hand_out", "jobs")
    op.create_index("jobs_to_hand_out", "jobs", ["state", "line", "not_before", "number"], **_WHERE)
