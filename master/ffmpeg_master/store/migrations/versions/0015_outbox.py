"""Webhooks that are to be sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(length=32), primary_key=True),
        sa.Column(
            "job_id",
            sa.String(length=12),
            sa.ForeignKey("jobs.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("due_at", sa.Float(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text()),
    )
    where = {"sqlite_where": _PENDING, "postgresql_where": _PENDING}
    op.create_index("outbox_due", "outbox", ["due_at"], **where)
    op.create_index("outbox_by_job", "outbox", ["job_id", "made_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("outbox")
