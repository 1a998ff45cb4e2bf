"""Where manifests and configurations of alerts come from, which are known by their names alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0012"
down_revision = "r0011"


def upgrade() -> None:
    """Of what is stored already nobody knows: the next run says."""
    op.create_table(
        "kspec_origins",
        sa.Column("name", sa.String(420), primary_key=True),
        sa.Column("origin", sa.Text, nullable=False, server_default=""),
    )
