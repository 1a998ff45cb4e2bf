"""One look as it is put together, type by type: the same for commands and for the operator.

What is ignored is neither drift nor gone, and an error of one type is said while the others are looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from pytest_kspec.drift import correcting, policies
from pytest_kspec.drift.events import DriftEvent, DriftType, Look, ordered
from pytest_kspec.drift.ignoring import Ignoring
from pytest_kspec.errors import KspecError


class Looking:
    """What was found so far.

    ignoring: differences that do not count; least: rank of the lowest severity that counts
    passes:   errors after which nothing is to be said any more
    drifted:  differences of policies, with what would correct them
    outdated, problems: as in `Look`
    """

    def __init__(self, ignoring: Ignoring, least: int = 0, passes: tuple[type[KspecError], ...] = ()) -> None:
        self._ignoring, self._least, self._passes = ignoring, least, passes
        self.drifted: list[policies.Drifted] = []
        self.outdated: list[str] = []
        self.problems: list[str] = []
        self._events: list[DriftEvent] = []
        self._looked: list[DriftType] = []
        self._still: set[tuple[str, ...]] = set()

    @property
    def is_empty(self) -> bool:
        """Nothing was compared, and nothing says why."""
        return not self._looked and not self.problems

    @contextlib.contextmanager
    def kept(self, what: str) -> Iterator[None]:
        """An error within is a problem of these: `policies`, `requirements` or `objects`."""
        try:
            yield
        except KspecError as error:
            if isinstance(error, self._passes):
                raise
            self.problems.append(f"{what} could not be compared: {error}")

    def policies(self, spec: str, found: policies.Found) -> None:
        """What one engine's policies differ in."""
        self._compared(DriftType.POLICY)
        self.problems += found.problems
        self.outdated += [f"{change.object} is not what {spec} requires now." for change in found.outdated]
        for one in found.drifted:
            left, partly = self._left(one.event)
            if left is not None:
                self.drifted.append(
                    policies.Drifted(correcting.by_hand(left) if partly else left, one.change)
                )

    def no_policies(self) -> None:
        """None are to be there, and none are."""
        self._compared(DriftType.POLICY)

    def others(
        self,
        type: DriftType,
        events: Iterable[DriftEvent],
        problems: Iterable[str],
        still: Iterable[tuple[str, ...]] = (),
    ) -> None:
        """What requirements or objects differ in. still: as in `Look`."""
        self._compared(type)
        self.problems += problems
        self._still.update(still)
        self._events += [left for event in events if (left := self._left(event)[0]) is not None]

    def look(
        self,
        *,
        at: str,
        spec: str,
        version: str,
        cluster: str,
        uid: str,
        decided: Iterable[DriftEvent] | None = None,
    ) -> Look:
        """The whole. decided: what became of the differences of policies, where that was decided."""
        known: Mapping[object, DriftEvent] = {event.key: event for event in decided or ()}
        found = [known.get(one.event.key, one.event) for one in self.drifted]
        return Look(
            at=at,
            spec=spec,
            version=version,
            cluster=cluster,
            uid=uid,
            looked=tuple(self._looked),
            events=ordered([*found, *self._events]),
            problems=tuple(self.problems),
            outdated=tuple(self.outdated),
            still=frozenset(self._still),
        )

    def _compared(self, type: DriftType) -> None:
        if type not in self._looked:
            self._looked.append(type)

    def _left(self, event: DriftEvent) -> tuple[DriftEvent | None, bool]:
        left, partly = self._ignoring.left(event)
        if left is None or left.severity.rank < self._least:
            self._still.add(event.key)
            return None, partly
        return left, partly
