"""Attempts at a cluster that say nothing about it: its worker gave it back, or was killed with its whole run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0013"
down_revision = "r0012"


def upgrade() -> None:
    """Of runs that have begun all attempts count, as before."""
    for name in ("returned", "forgiven"):
        op.add_column("kspec_targets", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
