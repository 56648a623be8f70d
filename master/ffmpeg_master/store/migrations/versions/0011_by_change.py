"""Those who watch ask what changed since a time."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("jobs_by_change", "jobs", ["updated_at", "number"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("jobs_by_change", "jobs")
