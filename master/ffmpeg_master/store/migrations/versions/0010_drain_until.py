"""Until when the jobs of a drained worker may run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; jobs of who is drained now may run to their end."""
    op.add_column("workers", sa.Column("drain_until", sa.Float()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("workers", "drain_until")
