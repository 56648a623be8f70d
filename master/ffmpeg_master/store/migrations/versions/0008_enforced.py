"""Which jobs need a machine whose kernel enforces limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a job that is there is handed out as before."""
    required = sa.Column("enforced", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("jobs", required)


def downgrade() -> None:
    """Drop it."""
    op.drop_column("jobs", "enforced")
