"""What pages show beside numbers: titles of requirements, and messages of findings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")


def upgrade() -> None:
    """Results of before have none of it: a requirement and a finding get theirs when they are next stored."""
    op.add_column("kspec_findings", _text("message"))
    op.create_table(
        "kspec_requirements",
        sa.Column("check_id", sa.Text, primary_key=True),
        _text("title"),
        _text("remediation"),
        sa.Column("seen_at", sa.String(20), nullable=False),
    )
