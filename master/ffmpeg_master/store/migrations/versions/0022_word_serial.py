"""Which of a worker's words told that it takes no jobs: what it said later counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what workers said before has no order."""
    op.add_column("workers", sa.Column("word_serial", sa.BigInteger()))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("workers", "word_serial")
