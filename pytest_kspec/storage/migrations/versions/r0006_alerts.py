"""Alerts, and what receivers were told of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "kspec_alerts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("cluster_id", sa.String(200), nullable=False),
        sa.Column("spec", sa.Text, nullable=False, server_default=""),
        sa.Column("document", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("ix_kspec_alerts_cluster_id", "kspec_alerts", ["cluster_id"])
    op.create_table(
        "kspec_alerts_told",
        sa.Column("config", sa.String(400), primary_key=True),
        sa.Column("receiver", sa.String(300), primary_key=True),
        sa.Column("group_key", sa.String(32), primary_key=True),
        sa.Column("at", sa.String(20), nullable=False),
        sa.Column("document", sa.Text, nullable=False, server_default=""),
    )
