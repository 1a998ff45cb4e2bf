"""Findings that a baseline has are counted; where a run's full report is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"


def upgrade() -> None:
    """Runs of before knew no baseline, and kept no report."""
    for table in ("kspec_runs", "kspec_clusters", "kspec_checks"):
        op.add_column(table, sa.Column("known", sa.Integer, nullable=False, server_default="0"))
    op.add_column("kspec_runs", sa.Column("report", sa.Text, nullable=False, server_default=""))
    op.add_column("kspec_runs", sa.Column("report_sha256", sa.String(64), nullable=False, server_default=""))
    op.add_column("kspec_findings", sa.Column("status", sa.String(6), nullable=False, server_default="open"))
