"""Lists of few among very many are read in the order of an index, of those few alone."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_HANDED_OUT = text("worker IS NOT NULL")
_WHERE = {"sqlite_where": _HANDED_OUT, "postgresql_where": _HANDED_OUT}


def upgrade() -> None:
    """Make the indexes anew, and one more."""
    op.drop_index("jobs_by_state", "jobs")
    op.drop_index("jobs_by_tenant", "jobs")
    op.create_index("jobs_by_state", "jobs", ["state", "queue", "number"])
    op.create_index("jobs_by_tenant", "jobs", ["tenant", "state", "queue", "number"])
    op.create_index("jobs_by_worker", "jobs", ["worker", "number"], **_WHERE)


def downgrade() -> None:
    """As they were."""
    op.drop_index("jobs_by_worker", "jobs")
    op.drop_index("jobs_by_tenant", "jobs")
    op.drop_index("jobs_by_state", "jobs")
    op.create_index("jobs_by_tenant", "jobs", ["tenant", "number"])
    op.create_index("jobs_by_state", "jobs", ["state", "number", "tenant", "queue"])
