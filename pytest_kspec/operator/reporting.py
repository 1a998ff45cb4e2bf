"""Where results of scans go beside the status: ComplianceReports, and the store that the scan itself writes to.

Neither holds up the status. What could not be written is kept here for a while, or named: a gap in the history that
nothing says would be read as days without a scan.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.objects import compliancereport
from pytest_kspec.crds.objects.owners import owner_of
from pytest_kspec.errors import Conflict, KspecError, NotServed, SourceUnavailable
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.scans import Scanned
from pytest_kspec.operator.status import Note
from pytest_kspec.publish import customresources
from pytest_kspec.reports.shared.text import plural

log = logging.getLogger("kspec.operator")
_NUMBERS = re.compile(r"\d+")


class Counting(Protocol):
    """Who counts reports."""

    def reported(self, kind: str, cluster: str) -> None:
        """A report was written."""
        ...


class _Missing(NamedTuple):
    """Scans whose results are not in the store: when the first and the last ended."""

    first: str
    last: str
    number: int


class Results:
    """Of all specifications of one process. It keeps one result of each at most, until its report is written."""

    def __init__(self, access: Access, seen: Counting | None) -> None:
        self._access = access
        self._seen = seen
        self._unreported: dict[str, tuple[Mapping[str, Any], Scanned]] = {}
        self._missing: dict[str, _Missing] = {}
        self._refused: dict[str, str] = {}

    def report(self, found: Mapping[str, Any], scanned: Scanned) -> list[Note]:
        """Write a ComplianceReport where something changed; one that cannot be written costs nothing else.

        It goes with its specification, as those of drift and of other clusters do: a report that nobody brings up to
        date any more would be taken for the state of the cluster.
        What an API server could not do, and may soon, is kept for `go_on`; anything else is an Event, once.
        """
        name, cluster = found["metadata"]["name"], scanned.result.clusters[0]
        self._unreported.pop(name, None)
        try:
            line = self._access.do(
                lambda writer: customresources.write_compliance(
                    writer,
                    scanned.result,
                    cluster,
                    NAMESPACE,
                    "",
                    kept=customresources.Kept(owner=owner_of(found)),
                )
            )
            log.debug("%s", line)
            if self._seen is not None and not line.endswith("(unchanged)"):
                self._seen.reported("compliance", cluster.name)
        except LostLease:
            raise
        except KspecError as error:
            log.warning("%s: no ComplianceReport was written: %s", name, error)
            if isinstance(error, SourceUnavailable | Conflict):
                self._unreported[name] = found, scanned
                return []
            same = _NUMBERS.sub("", str(error))  # of the report, whose name has its time, and of quotas
            before, self._refused[name] = self._refused.get(name), same
            text = f"The ComplianceReport of this scan could not be written: {error}"
            return [] if before == same else [Note("Warning", "ReportsNotWritten", text)]
        self._refused.pop(name, None)
        return []

    def go_on(self, name: str) -> list[Note]:
        """Write the report that could not be written. Raises SourceUnavailable: to be tried again."""
        if name not in self._unreported:
            return []
        notes = self.report(*self._unreported[name])
        self.check(name)
        return notes

    def check(self, name: str) -> None:
        """Raises SourceUnavailable where a report is to be written yet."""
        if name in self._unreported:
            raise SourceUnavailable("its ComplianceReport is not written yet.", where=name)

    def history(self, name: str, scanned: Scanned) -> list[Note]:
        """Events where results begin to be missing in the store, and where they are kept again."""
        ended = scanned.result.finished_at
        missing = self._missing.get(name)
        if scanned.unstored:
            log.warning("%s: the scan of %s is not in the store: %s", name, ended, scanned.unstored)
            first, number = (missing.first, missing.number) if missing is not None else (ended, 0)
            self._missing[name] = _Missing(first, ended, number + 1)
            text = f"The result of the scan of {ended} is not stored: {scanned.unstored}"
            return [] if missing is not None else [Note("Warning", "HistoryIncomplete", text)]
        if missing is None:
            return []
        del self._missing[name]
        what = "1 is" if missing.number == 1 else f"{missing.number} are"
        text = f"Results are stored again; {what} missing, of scans from {missing.first} to {missing.last}."
        return [Note("Normal", "HistoryRestored", text)]

    def clear(self, name: str) -> None:
        """Remove reports of other clusters: the specification is for none any more. Raises SourceError."""

        def act(writer: Writer) -> int:
            place = (compliancereport.API_VERSION, compliancereport.KIND)
            selector = compliancereport.fleet_selector(name)
            try:
                found = list(writer.list(*place, namespace=NAMESPACE, label_selector=selector))
            except NotServed:
                return 0
            for one in found:
                writer.delete(*place, one["metadata"]["name"], namespace=NAMESPACE)
            return len(found)

        if count := self._access.do(act):
            log.info(
                "%s: %s removed",
                name,
                plural(count, "ComplianceReport of a cluster", "ComplianceReports of clusters"),
            )

    def forget(self, name: str) -> None:
        """The specification is gone."""
        for kept in (self._unreported, self._missing, self._refused):
            kept.pop(name, None)
