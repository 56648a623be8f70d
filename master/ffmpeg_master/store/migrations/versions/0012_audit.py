"""Who did what to which job, worker or key."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_BIG: Any = sa.BigInteger()
_NUMBER = _BIG.with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table; what was done before is not known."""
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(length=63), nullable=False),
        sa.Column("role", sa.String(length=16)),
        sa.Column("tenant", sa.String(length=63)),
        sa.Column("address", sa.String(length=64)),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=63), nullable=False),
        sa.Column("detail", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_subject", "audit", ["kind", "subject", "id"])
    op.create_index("audit_by_time", "audit", ["at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("audit")
