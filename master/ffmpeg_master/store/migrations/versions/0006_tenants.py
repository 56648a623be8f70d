"""Whose a job is, and what bounds a key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TENANT = sa.String(length=63)


def upgrade() -> None:
    """Add the columns; all jobs and keys that are there belong to the tenant "default"."""
    for table in ("jobs", "keys"):
        tenant = sa.Column("tenant", _TENANT, nullable=False, server_default="default")
        op.add_column(table, tenant)
    op.add_column("jobs", sa.Column("submitter", sa.String(length=63)))
    op.create_index("jobs_by_tenant", "jobs", ["tenant", "number"])
    op.add_column("keys", sa.Column("worker", sa.String(length=63)))
    op.add_column("keys", sa.Column("expires_at", sa.Float()))
    op.add_column("keys", sa.Column("last_used_at", sa.Float()))


def downgrade() -> None:
    """Drop them."""
    for name in ("last_used_at", "expires_at", "worker", "tenant"):
        op.drop_column("keys", name)
    op.drop_index("jobs_by_tenant", "jobs")
    op.drop_column("jobs", "submitter")
    op.drop_column("jobs", "tenant")
