"""Which result of a specification on a cluster is its state: in one place, for all lists and pages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from pytest_kspec.storage import schema

_subject = schema.subjects.c


def newest_key() -> Any:
    """The key of the one newest result of a row of `subjects` in the statement around it.

    Where two ended in one second it is the one of more requirements, as a run may be of some only; then the last that
    was stored.
    """
    other = schema.results.alias("other")
    one = other.c
    return (
        select(one.id)
        .where(one.subject_id == _subject.id, one.finished_at == _subject.newest_at)
        .order_by((one.passed + one.failed + one.errors + one.skipped).desc(), one.id.desc())
        .limit(1)
        .correlate(schema.subjects)
        .scalar_subquery()
    )
