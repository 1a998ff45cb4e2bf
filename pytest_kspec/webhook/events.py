"""Events in the cluster: who looks at a namespace sees what was refused there, and why.

Few and late on purpose: equal ones within ten minutes are one, so many a minute at most, and a slow API server
costs Events and nothing else.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

from pytest_kspec.audit.record import Record
from pytest_kspec.audit.sink import Lost
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.enforce.admission import cut
from pytest_kspec.errors import KspecError

REASONS = {
    "denied": "PolicyViolation",
    "warned": "PolicyWarning",
    "exempted": "PolicyExempted",
    "failed-open": "PolicyNotEvaluated",
    "failed": "PolicyNotEvaluated",
}
"""Action of a record → reason of the Event; others (monitored) make none."""

SAME_S = 600.0
REMEMBERED = 2000
A_MINUTE = 120
LONGEST_MESSAGE = 1000
COMPONENT = "kspec-webhook"


class EventSink:
    """Writes Events. Tries all of a batch, then raises Lost with the number of Events that the cluster did not take."""

    name = "events"

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._seen: OrderedDict[tuple[Any, ...], float] = OrderedDict()
        self._minute = (0, 0)

    def write(self, records: Sequence[Record]) -> None:
        """One batch of audit records."""
        failed: list[KspecError] = []
        for entry in records:
            event = event_of(entry)
            if event is None or self._seen_lately(event) or self._too_many():
                continue
            try:
                self._access.do(methodcaller("create", event))
            except KspecError as error:
                failed.append(error)
        if failed:
            raise Lost(len(failed), str(failed[0])) from failed[0]

    def close(self) -> None:
        """Nothing to do."""

    def _seen_lately(self, event: Record) -> bool:
        about = event["involvedObject"]
        key = (about["kind"], about["namespace"], about["name"], event["reason"], event["message"])
        now = self._clock()
        if now - self._seen.get(key, -SAME_S) < SAME_S:
            return True
        self._seen[key] = now
        self._seen.move_to_end(key)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def _too_many(self) -> bool:
        minute = int(self._clock() // 60)
        count = self._minute[1] if self._minute[0] == minute else 0
        self._minute = (minute, count + 1)
        return count >= A_MINUTE


def event_of(entry: Record) -> Record | None:
    """The Event that a record becomes; None for what makes none (also objects without a namespace)."""
    resource = entry["resource"]
    reason = REASONS.get(entry["action"])
    if reason is None or not resource["namespace"] or not resource["name"]:
        return None
    texts = [
        f"{violation['policy']}: {violation['message']} [{violation['check']}]"
        + (f" (exemption {violation['exemption']['name']})" if violation["exemption"] else "")
        for violation in entry["violations"]
        if violation["action"] == entry["action"]
    ]
    texts += [f"{failure['policy']}: not evaluated: {failure['what']}" for failure in entry["failures"]]
    time_text = f"{entry['time'][:19]}Z"
    prefix = resource["name"].rstrip("-.")[:200].lower()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{prefix}.", "namespace": resource["namespace"]},
        "involvedObject": resource,
        "reason": reason,
        "message": cut("; ".join(texts), LONGEST_MESSAGE),
        "type": "Normal" if entry["action"] == "exempted" else "Warning",
        "source": {"component": COMPONENT},
        "firstTimestamp": time_text,
        "lastTimestamp": time_text,
        "count": 1,
    }
