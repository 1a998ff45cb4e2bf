"""Which leader of several replicas wrote last: those of before may not write any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0014"
down_revision = "r0013"


def upgrade() -> None:
    """Nobody has written as a leader yet, for all that is known."""
    op.create_table(
        "kspec_leaders",
        sa.Column("lease", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
