"""The verdicts of each result as short texts (`storage.verdicts`), made of the rows of its requirements.

The newest result of a subject as of a time is found by one index alone.
"""

from __future__ import annotations

import hashlib
import json
from itertools import groupby, islice
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"

_AT_ONCE = 1_000


def upgrade() -> None:
    """Results of before get theirs too: a store is compared with the day before on the day of its upgrade."""
    for column in (
        sa.Column("shape", sa.String(32), nullable=False, server_default=""),
        sa.Column("verdicts", sa.Text, nullable=False, server_default=""),
        sa.Column("tally", sa.Text, nullable=False, server_default=""),
    ):
        op.add_column("kspec_results", column)
    op.drop_index("ix_kspec_results_subject_id_finished_at", table_name="kspec_results")
    op.create_index("ix_kspec_results_newest", "kspec_results", ["subject_id", "finished_at", "id"])
    connection = op.get_bind()
    keys = connection.execute(sa.text("SELECT id FROM kspec_results ORDER BY id")).scalars().all()
    read = sa.text(
        "SELECT result_id, check_id, severity, verdict, findings FROM kspec_checks "
        "WHERE result_id BETWEEN :first AND :last ORDER BY result_id, position"
    )
    write = sa.text(
        "UPDATE kspec_results SET shape = :shape, verdicts = :verdicts, tally = :tally WHERE id = :id"
    )
    left = iter(keys)
    while some := list(islice(left, _AT_ONCE)):
        rows = connection.execute(read, {"first": some[0], "last": some[-1]}).all()
        made = [
            {"id": key, **_texts(list(mine))} for key, mine in groupby(rows, key=lambda row: row.result_id)
        ]
        if made:
            connection.execute(write, made)


def _texts(rows: list[sa.Row[Any]]) -> dict[str, str]:
    parts = "".join(f"{row.check_id}\0{row.severity}\n" for row in rows)
    return {
        "shape": hashlib.sha256(parts.encode()).hexdigest()[:32],
        "verdicts": "".join(row.verdict[0] for row in rows),
        "tally": json.dumps([row.findings for row in rows], separators=(",", ":")),
    }
