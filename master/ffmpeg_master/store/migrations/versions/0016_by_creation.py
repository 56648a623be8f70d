"""Lists of the jobs that were submitted in some time."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("jobs_by_creation", "jobs", ["created_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("jobs_by_creation", "jobs")
