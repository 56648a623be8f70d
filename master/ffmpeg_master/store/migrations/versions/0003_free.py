"""What workers have free, and why they take no job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; a worker fills them with its next heartbeat."""
    op.add_column("workers", sa.Column("free", sa.Text()))
    op.add_column("workers", sa.Column("held_back", sa.Text()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("workers", "held_back")
    op.drop_column("workers", "free")
