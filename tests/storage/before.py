"""A store as an older version left it: what newer revisions made is undone, the newest one first."""

from __future__ import annotations

from sqlalchemy import text

from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store

_UNDO = {
    "r0014": ("DROP TABLE kspec_leaders",),
    "r0013": (
        "ALTER TABLE kspec_targets DROP COLUMN returned",
        "ALTER TABLE kspec_targets DROP COLUMN forgiven",
    ),
    "r0012": ("DROP TABLE kspec_origins",),
    "r0011": ("ALTER TABLE kspec_results DROP COLUMN left_out",),
    "r0010": ("DROP TABLE kspec_drift_recordings",),
    "r0009": (
        "ALTER TABLE kspec_results DROP COLUMN shape",
        "ALTER TABLE kspec_results DROP COLUMN verdicts",
        "ALTER TABLE kspec_results DROP COLUMN tally",
        "DROP INDEX ix_kspec_results_newest",
        "CREATE INDEX ix_kspec_results_subject_id_finished_at ON kspec_results (subject_id, finished_at)",
    ),
}


def go_back(store: Store, revision: str) -> None:
    """Make it a store of this revision, r0008 or later; a new revision needs an entry above."""
    newer = [one for one in schema.REVISIONS if one > revision]
    statements = [statement for one in reversed(newer) for statement in _UNDO[one]]
    statements.append(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'")
    for statement in statements:
        store.write(lambda connection, statement=statement: connection.execute(text(statement)))
