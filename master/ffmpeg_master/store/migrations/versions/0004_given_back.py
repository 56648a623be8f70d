"""Attempts that were given back do not count against max_attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nothing was given back so far."""
    given_back = sa.Column("given_back", sa.Integer(), nullable=False, server_default="0")
    op.add_column("jobs", given_back)
    op.add_column("attempts", sa.Column("claim_serial", sa.BigInteger()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("attempts", "claim_serial")
    op.drop_column("jobs", "given_back")
