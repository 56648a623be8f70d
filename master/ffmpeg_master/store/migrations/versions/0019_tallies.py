"""How many jobs there are by tenant, state and queue is kept, by triggers, instead of counted."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_BIG: Any = sa.BigInteger()
_NUMBER = _BIG.with_variant(sa.Integer(), "sqlite")

_NEW = (
    "INSERT INTO tallies (tenant, state, queue, more) VALUES (NEW.tenant, NEW.state, NEW.queue, 1)"
)
_OLD = _NEW.replace("NEW.", "OLD.").replace(" 1)", " -1)")
_MOVES = "(OLD.tenant, OLD.state, OLD.queue) {} (NEW.tenant, NEW.state, NEW.queue)"
#: Triggers of rows, so that who only sends a heartbeat pays nothing.
_MADE = {
    "sqlite": (
        f"CREATE TRIGGER tally_new AFTER INSERT ON jobs BEGIN {_NEW}; END",
        f"CREATE TRIGGER tally_gone AFTER DELETE ON jobs BEGIN {_OLD}; END",
        f"CREATE TRIGGER tally_moved AFTER UPDATE OF tenant, state, queue ON jobs "
        f"WHEN {_MOVES.format('IS NOT')} BEGIN {_OLD}; {_NEW}; END",
    ),
    "postgresql": (
        f"""
        CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' THEN {_OLD}; END IF;
            IF TG_OP <> 'DELETE' THEN {_NEW}; END IF;
            RETURN NULL;
        END
        $$
        """,
        "CREATE TRIGGER tally_come_or_gone AFTER INSERT OR DELETE ON jobs "
        "FOR EACH ROW EXECUTE FUNCTION tally()",
        "CREATE TRIGGER tally_moved AFTER UPDATE OF tenant, state, queue ON jobs "
        f"FOR EACH ROW WHEN ({_MOVES.format('IS DISTINCT FROM')}) EXECUTE FUNCTION tally()",
    ),
}
_DROPPED = {
    "sqlite": tuple(f"DROP TRIGGER tally_{name}" for name in ("new", "gone", "moved")),
    "postgresql": ("DROP FUNCTION tally CASCADE",),
}
_COUNT = """
    INSERT INTO tallies (tenant, state, queue, more)
    SELECT tenant, state, queue, count(*) FROM jobs GROUP BY tenant, state, queue
"""


def upgrade() -> None:
    """Make the table and keep it from now on; then count once."""
    op.create_table(
        "tallies",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("queue", sa.String(length=16), nullable=False),
        sa.Column("more", sa.BigInteger(), nullable=False),
    )
    for statement in (*_MADE[op.get_bind().dialect.name], _COUNT):
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    for statement in _DROPPED[op.get_bind().dialect.name]:
        op.execute(statement)
    op.drop_table("tallies")
