"""Recorded objects of the last good run, which later ones are compared with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0010"
down_revision = "r0009"


def upgrade() -> None:
    """One for each that compares on a cluster."""
    op.create_table(
        "kspec_drift_recordings",
        sa.Column("cluster_id", sa.String(200), primary_key=True),
        sa.Column("owner", sa.String(400), primary_key=True),
        sa.Column("kinds", sa.String(32), nullable=False),
        sa.Column("tool_version", sa.Text, nullable=False, server_default=""),
        sa.Column("recorded_at", sa.String(20), nullable=False),
        sa.Column("used_at", sa.String(20), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
