"""When a master was there last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the row: nobody was there, so the leases that are there are renewed."""
    op.create_table(
        "attendance",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("noted_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO attendance (id, noted_at) VALUES (1, 0)")


def downgrade() -> None:
    """Drop it."""
    op.drop_table("attendance")
