"""What is wanted of a running attempt, and what of it is in force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; no job that is there was asked to pause."""
    wanted = sa.Column("pause_requested", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("jobs", wanted)
    op.add_column("jobs", sa.Column("in_force", sa.Text()))
    op.add_column("jobs", sa.Column("unmet", sa.Text()))


def downgrade() -> None:
    """Drop them."""
    for name in ("unmet", "in_force", "pause_requested"):
        op.drop_column("jobs", name)
