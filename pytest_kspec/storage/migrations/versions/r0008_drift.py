"""Differences of clusters over time, and their corrections."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0008"
down_revision = "r0007"


def upgrade() -> None:
    """Two tables of their own: a cluster may drift that was never scanned."""
    op.create_table(
        "kspec_drift",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("cluster_id", sa.String(200), nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("type", sa.String(13), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("first_seen", sa.String(20), nullable=False),
        sa.Column("last_seen", sa.String(20), nullable=False),
        sa.Column("cleared_at", sa.String(20)),
        sa.Column("event", sa.Text, nullable=False),
    )
    still = sa.text("cleared_at IS NULL")
    op.create_index(
        "uq_kspec_drift_open",
        "kspec_drift",
        ["cluster_id", "spec", "key"],
        unique=True,
        sqlite_where=still,
        postgresql_where=still,
    )
    op.create_index("ix_kspec_drift_last_seen", "kspec_drift", ["last_seen"])
    op.create_table(
        "kspec_drift_corrections",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("cluster_id", sa.String(200), nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("corrected_at", sa.String(20), nullable=False),
    )
    op.create_index(
        "ix_kspec_drift_corrections_cluster_id_corrected_at",
        "kspec_drift_corrections",
        ["cluster_id", "corrected_at"],
    )
