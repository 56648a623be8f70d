"""Tenants have limits, and a worker's key may serve one tenant alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

#: Whoever named a tenant for a worker's key meant it; the default was named for none.
_SERVE = (
    "UPDATE keys SET serves = tenant WHERE role = 'worker' AND tenant <> 'default' "
    "AND revoked_at IS NULL"
)


def upgrade() -> None:
    """Make the table, in which nobody has limits, and the column."""
    op.create_table(
        "tenants",
        sa.Column("name", sa.String(length=63), primary_key=True),
        sa.Column("max_queued", sa.Integer()),
        sa.Column("max_running", sa.Integer()),
        sa.Column("max_cpu_percent", sa.Integer()),
        sa.Column("max_timeout_sec", sa.Integer()),
        sa.Column("queues", sa.Text()),
        sa.Column("rate", sa.Integer()),
        sa.Column("paid_until", sa.Float(), nullable=False, server_default="0"),
    )
    op.add_column("keys", sa.Column("serves", sa.String(length=63)))
    op.execute(_SERVE)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("keys", "serves")
    op.drop_table("tenants")
