"""Which result of a specification on a cluster is its state: in one place, for all lists and pages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, update

from pytest_kspec.storage import schema

_subject = schema.subjects.c


def newest_key() -> Any:
    """The key of the one newest result of a row of `subjects` in the statement around it.

    Of two that ended in one second a partial one is not the state; then it is the one of more requirements, as a store
    of before does not say which are partial; then the last that was stored.
    """
    other = schema.results.alias("other")
    one = other.c
    return (
        select(one.id)
        .where(one.subject_id == _subject.id, one.finished_at == _subject.newest_at)
        .order_by(one.left_out, (one.passed + one.failed + one.errors + one.skipped).desc(), one.id.desc())
        .limit(1)
        .correlate(schema.subjects)
        .scalar_subquery()
    )


def renew(connection: Connection, *which: Any) -> None:
    """Set when the newest result of these subjects ended: the last whole one, or the last one where none is whole.

    A run of some requirements never stands for what the others were found to be.
    """
    result = schema.results.c
    last = (
        select(result.finished_at)
        .where(result.subject_id == _subject.id)
        .order_by(result.finished_at.desc())
        .limit(1)
        .correlate(schema.subjects)
    )
    whole = last.where(result.left_out == 0)
    newest = func.coalesce(whole.scalar_subquery(), last.scalar_subquery())
    connection.execute(update(schema.subjects).where(*which).values(newest_at=newest))
