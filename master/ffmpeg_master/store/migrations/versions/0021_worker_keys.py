"""Which key speaks for a worker, and which key takes its workers over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; workers that are there become their keys' as soon as they speak."""
    op.add_column("workers", sa.Column("key", sa.String(length=63)))
    op.add_column("keys", sa.Column("replaces", sa.String(length=63)))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("keys", "replaces")
    op.drop_column("workers", "key")
