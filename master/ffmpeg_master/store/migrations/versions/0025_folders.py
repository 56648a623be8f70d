"""Where a job's input and output are on the machine that runs it: not every worker has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; jobs from before go to any worker, as they did."""
    op.add_column("jobs", sa.Column("input_folder", sa.Text()))
    op.add_column("jobs", sa.Column("output_folder", sa.Text()))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("jobs", "output_folder")
    op.drop_column("jobs", "input_folder")
