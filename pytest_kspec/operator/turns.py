"""When a specification is scanned: by what its status says of the last time, so that the next leader knows it, too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pytest_kspec import clock
from pytest_kspec.operator import fleetstatus, status
from pytest_kspec.operator.status import moment_of, status_of

Object = dict[str, Any]

FUTURE_S = 60.0  # a time further in the future than clocks differ is none
_JUDGED = (status.PASSED, status.FAILED, status.NOT_EVALUATED, fleetstatus.UNREACHABLE)


class Turns:
    """usual_s: between two scans; up to a tenth longer by the UID, so that specifications spread out.

    paced:   called with the longest time between two scans of one specification
    skipped: called when a scan ended, with the name and how many turns it has left out
    """

    def __init__(
        self, usual_s: float, paced: Callable[[float], None], skipped: Callable[[str, int], None]
    ) -> None:
        self._usual_s = usual_s
        self._paced, self._skipped = paced, skipped
        self._intervals: dict[str, float] = {}  # of those that ask for theirs

    def pace(self, name: str, interval_s: float | None) -> None:
        """The specification of this name asks for an interval of its own; None: for none."""
        if self._intervals.get(name) == interval_s:
            return
        if interval_s is None:
            self._intervals.pop(name)
        else:
            self._intervals[name] = interval_s
        self._paced(1.1 * max(self._usual_s, *list(self._intervals.values()), 0.0))

    def due(self, found: Mapping[str, Any], now: datetime) -> float:
        """Seconds until it is to be scanned; 0 or less: now."""
        before = status_of(found)
        if before.get("observedGeneration") != found["metadata"].get("generation"):
            return 0.0
        if status.condition(before, status.READY).get("reason") not in _JUDGED:
            return 0.0
        last, again = moment_of(before.get("lastScanTime")), moment_of(before.get("nextScanTime"))
        if last is None or (last - now).total_seconds() > FUTURE_S:
            return 0.0
        end = last + timedelta(seconds=self.interval(found))
        return (min(again, end) - now).total_seconds() if again is not None else (end - now).total_seconds()

    def ended(self, found: Mapping[str, Any], began: datetime) -> None:
        """A scan ends now. It left out turns since it was due, or since it began where it was not."""
        due = moment_of(status_of(found).get("nextScanTime")) or began
        late = (clock.now() - min(due, began)).total_seconds()
        self._skipped(found["metadata"]["name"], max(0, int(late // self.interval(found))))

    def interval(self, found: Mapping[str, Any]) -> float:
        """Seconds between two scans of this one."""
        digest = hashlib.sha256(str(found["metadata"].get("uid")).encode()).digest()
        return self._intervals.get(found["metadata"]["name"], self._usual_s) * (1 + digest[0] / 2550)

    def fields(self, found: Mapping[str, Any], boundary: datetime | None) -> Object:
        """Times in the status of a scan that ends now. boundary: when what is in force has to be made again."""
        now = clock.now()
        end = now + timedelta(seconds=self.interval(found))
        again = end if boundary is None or boundary <= now else min(end, boundary + timedelta(seconds=1))
        return {"lastScanTime": status.stamp(now), "nextScanTime": status.stamp(again)}
