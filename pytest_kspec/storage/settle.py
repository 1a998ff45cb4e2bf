"""What a subject's findings are as of its newest result, worked out from what results saw and what they looked at.

Nothing here depends on the order in which results arrive: an older result that is stored later gives the same rows.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, case, func, literal, or_, select, update

from pytest_kspec.results.observation import NOT_ASKED, State
from pytest_kspec.storage import schema


def settle(connection: Connection, subject: int, *, again: bool) -> None:
    """Bring state, reason and resolved_at of the findings of a subject up to date.

    again: also those that are fixed, as when an older result was stored after a newer one.
    """
    found, result, check = schema.findings.c, schema.results.c, schema.checks.c
    newest = select(schema.subjects.c.newest_at).where(schema.subjects.c.id == subject).scalar_subquery()
    looked = (
        select(func.min(result.finished_at))
        .select_from(schema.results.join(schema.checks, check.result_id == result.id))
        .where(result.subject_id == subject, result.finished_at > found.last_seen)
        .where(check.check_id == found.check_id, check.evaluated)
        .correlate(schema.findings)
        .scalar_subquery()
    )
    why = (
        select(check.reason)
        .select_from(schema.results.join(schema.checks, check.result_id == result.id))
        .where(result.subject_id == subject, result.finished_at == newest, check.check_id == found.check_id)
        .order_by(result.id.desc())
        .limit(1)
        .correlate(schema.findings)
        .scalar_subquery()
    )
    mine = and_(found.subject_id == subject, found.last_seen < newest)
    open_ones = mine if again else and_(mine, found.state != State.FIXED.value)
    connection.execute(update(schema.findings).where(open_ones).values(resolved_at=looked))
    connection.execute(
        update(schema.findings)
        .where(open_ones)
        .values(
            state=case((found.resolved_at.is_(None), State.UNKNOWN.value), else_=State.FIXED.value),
            reason=case((found.resolved_at.is_(None), func.coalesce(why, literal(NOT_ASKED))), else_=""),
        )
    )
    seen = and_(found.subject_id == subject, found.last_seen >= newest)
    gone_before = or_(found.resolved_at.is_not(None), found.reason != "")
    connection.execute(update(schema.findings).where(seen, gone_before).values(resolved_at=None, reason=""))
