"""Who may write to a store as the leader of several replicas.

A leader that was stopped in the middle of a write may go on with it when another one leads. Leases have a number that
grows with each leader: a store that has seen one refuses those of before, within the transaction that would write. A
Lease that was deleted and made anew counts from 0 again: its leaders of before know by their clock that they lost it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import Connection

from pytest_kspec.errors import StoreError
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.write import insert_into


class FencingToken(NamedTuple):
    """lease: UID of the Lease; number: its `leaseTransitions`, larger with each leader."""

    lease: str
    number: int


def fence(store: Store, token: FencingToken, leads: Callable[[], bool] = lambda: True) -> None:
    """From now on each `write` of this store raises StoreError where a later leader has written, or this one does not
    lead any more.
    """

    def claim(connection: Connection) -> None:
        if not leads():
            raise StoreError(
                "not written: this replica does not hold the Lease any more.", where=store.address.shown
            )
        made = insert_into(connection, schema.leaders)
        # The row is locked until the transaction ends: no other leader comes between.
        claimed = made.on_conflict_do_update(
            index_elements=["lease"],
            set_={"number": made.excluded.number},
            where=schema.leaders.c.number <= made.excluded.number,
        ).returning(schema.leaders.c.number)
        if connection.execute(claimed, token._asdict()).first() is None:
            raise StoreError(
                "not written: another replica has become the leader since this one held the Lease.",
                where=store.address.shown,
            )

    store.before_write = claim
