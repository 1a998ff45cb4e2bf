"""How often workers began with a cluster of a run, and which of these attempts say something about the cluster.

A worker that is killed leaves no word, whoever killed it. Within one `kspec fleet scan`, or one Job, it was the cluster
that it was scanning; where all of that was killed and somebody goes on with the run, it may have been the machine.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, exists, update

from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store

_target, _outcome = schema.targets.c, schema.outcomes.c


def started(store: Store, run: str, position: int) -> int:
    """A worker begins with a cluster: counted before, so that one that ends the worker is known. Raises StoreError.

    Returns which attempt this is, from 1: no two workers have the same.
    """
    if store.objects is not None:
        return store.objects.attempt(run, position)
    counted = update(schema.targets).where(_is(run, position)).values(attempts=_target.attempts + 1)
    counted = counted.returning(_target.attempts)
    return store.write(lambda connection: int(connection.execute(counted).scalar_one()))


def left(store: Store, run: str, position: int) -> None:
    """A worker that is told to end gives a cluster back: nothing that the cluster did. Raises StoreError."""
    if store.objects is not None:
        store.objects.give_back(run, position)
        return
    mine = and_(_is(run, position), _target.returned < _target.attempts)
    store.write(
        lambda connection: connection.execute(
            update(schema.targets).where(mine).values(returned=_target.returned + 1)
        )
    )


def forgive(store: Store, run: str) -> None:
    """Somebody goes on with a run: what was scanned when it was interrupted has all its attempts. Raises StoreError."""
    if store.objects is not None:
        store.objects.forgive(run)
        return
    done = exists().where(_outcome.run_id == _target.run_id, _outcome.position == _target.position)
    waiting = and_(_target.run_id == run, _target.attempts > _target.returned, ~done)
    store.write(
        lambda connection: connection.execute(
            update(schema.targets).where(waiting).values(forgiven=_target.attempts - _target.returned)
        )
    )


def _is(run: str, position: int) -> ColumnElement[bool]:
    return and_(_target.run_id == run, _target.position == position)
