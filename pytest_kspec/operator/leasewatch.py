"""The Lease as it changes: so that a replica that waits knows at once that it was given up or deleted.

A watch decides nothing. Whoever wants to lead reads the Lease first, and a watch that is refused, breaks, expires (410)
or falls silent costs no more than the time until the next look (`Elector.step`).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import msgspec

from pytest_kspec.cluster.limits import MIB
from pytest_kspec.cluster.objects.answers import Wrong, check_object
from pytest_kspec.cluster.objects.items import BROKEN_JSON
from pytest_kspec.cluster.sources.live import LiveSource, resource_path
from pytest_kspec.cluster.watch.ending import Ending
from pytest_kspec.errors import SourceError, SourceUnavailable
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator.lease import API_VERSION, KIND, NAME, Elector

log = logging.getLogger("kspec.operator.lease")

LEASES = ResourceType("coordination.k8s.io", "v1", KIND, "leases", True)
WATCH_S, GRACE_S = 30, 5.0
"""How long a watch is asked for, and how much later it is given up."""
_EVENT_BYTES, _WATCH_BYTES = MIB, 16 * MIB
_FIRST_S, _LONGEST_S = 0.5, 60.0


class LeaseWatch(Ending):
    """`run` works in the thread that calls it, until `ended` says so, or `stop`.

    open_source: makes a connection for this watch alone
    """

    def __init__(
        self,
        open_source: Callable[[], LiveSource],
        elector: Elector,
        ended: Callable[[], bool],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(chance)
        self._open, self._elector, self._ended = open_source, elector, ended
        self._failures = 0
        self._said = ""

    def run(self) -> None:
        """Raises nothing of a cluster: what goes wrong is logged once, and tried again later and later."""
        while not self._over():
            source = self._open()
            try:
                self._follow(source)
                self._wait(_FIRST_S)  # a proxy may end each watch at once
            except SourceError as error:
                if self._over():
                    return
                if str(error) != self._said:
                    self._said = str(error)
                    log.info("the watch of the Lease ended; it is read every retry period instead: %s", error)
                most = min(_LONGEST_S, _FIRST_S * 2 ** min(self._failures, 10))
                self._failures += 1
                self._wait(most)
            finally:
                source.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _over(self) -> bool:
        return self._stopped.is_set() or self._ended()

    def _follow(self, source: LiveSource) -> None:
        """One watch, from what is there now. Raises SourceError."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={NAME}",
            "timeoutSeconds": str(WATCH_S),
        }
        path = resource_path(LEASES, self._elector.namespace)
        with source.connection.watch(path, query, seconds=WATCH_S + GRACE_S, most=_WATCH_BYTES) as watching:
            if watching.answer is not None:
                detail = f": {watching.answer.message}" if watching.answer.message else "."
                raise SourceUnavailable(
                    f"cannot watch it: HTTP {watching.answer.status}{detail}", where=source.name
                )
            self._watching = watching
            try:
                for line in watching.lines(_EVENT_BYTES):
                    if self._over():
                        return
                    self._event(line, source)
            finally:
                self._watching = None

    def _event(self, line: bytes, source: LiveSource) -> None:
        try:
            event = msgspec.json.decode(line)
            kind, obj = event["type"], event["object"]
            if kind == "ERROR":
                raise SourceUnavailable("the watch ended with an error.", where=source.name)
            if kind not in ("ADDED", "MODIFIED", "DELETED"):
                return
            check_object(obj, API_VERSION, KIND, NAME, self._elector.namespace)
            self._elector.saw(None if kind == "DELETED" else obj)
        except (Wrong, KeyError, TypeError, AttributeError, *BROKEN_JSON) as error:
            raise SourceUnavailable(
                f"an event of its watch cannot be read ({type(error).__name__}).", where=source.name
            ) from None
        self._failures, self._said = 0, ""
