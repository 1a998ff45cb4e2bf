"""What a subject's findings are as of its newest result, worked out from what results saw and what they looked at.

Nothing here depends on the order in which results arrive: an older result that is stored later gives the same rows.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, case, func, literal, or_, select, update

from pytest_kspec.results.observation import NOT_ASKED, NOT_SELECTED, State
from pytest_kspec.storage import schema
from pytest_kspec.storage.newest import newest_key


def settle(connection: Connection, subject: int, *, again: bool) -> None:
    """Bring state, reason and resolved_at of the findings of a subject up to date.

    again: also those that are fixed, as when an older result was stored after a newer one.
    """
    found, result, check = schema.findings.c, schema.results.c, schema.checks.c
    newest = connection.execute(
        select(result.id, result.finished_at, result.left_out)
        .select_from(schema.subjects)
        .join(schema.results, result.id == newest_key())
        .where(schema.subjects.c.id == subject)
    ).one()
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
        .where(check.result_id == newest.id, check.check_id == found.check_id)
        .limit(1)
        .correlate(schema.findings)
        .scalar_subquery()
    )
    mine = and_(found.subject_id == subject, found.last_seen < newest.finished_at)
    open_ones = mine if again else and_(mine, found.state != State.FIXED.value)
    connection.execute(update(schema.findings).where(open_ones).values(resolved_at=looked))
    otherwise = literal(NOT_SELECTED if newest.left_out else NOT_ASKED)
    connection.execute(
        update(schema.findings)
        .where(open_ones)
        .values(
            state=case((found.resolved_at.is_(None), State.UNKNOWN.value), else_=State.FIXED.value),
            reason=case((found.resolved_at.is_(None), func.coalesce(why, otherwise)), else_=""),
        )
    )
    seen = and_(found.subject_id == subject, found.last_seen >= newest.finished_at)
    gone_before = or_(found.resolved_at.is_not(None), found.reason != "")
    as_seen = (
        select(schema.observations.c.status)
        .join(schema.results, result.id == schema.observations.c.result_id)
        .where(schema.observations.c.finding_id == found.id, result.finished_at == found.last_seen)
        .order_by(result.id.desc())
        .limit(1)
        .correlate(schema.findings)
        .scalar_subquery()
    )
    connection.execute(
        update(schema.findings)
        .where(seen, gone_before)
        .values(resolved_at=None, reason="", state=func.coalesce(as_seen, found.state))
    )
