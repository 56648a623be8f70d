"""Which jobs may run where the kernel enforces no limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of a job that is there, the worker's own setting decides."""
    allowed = sa.Column("unenforced", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("jobs", allowed)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("jobs", "unenforced")
