"""What a run over a fleet does, and what is made of what it found: metrics, alerts, ComplianceReports of the hub."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED, KspecError
from pytest_kspec.operator import fleetstatus, status
from pytest_kspec.operator.fleetruns import Posts, Run, Runner, Seen, Setup, Step
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.runwatch import seconds_of, watched
from pytest_kspec.operator.scans import Ended, ScanFailed, Scanned, Stopped
from pytest_kspec.operator.status import Note
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND

log = logging.getLogger("kspec.operator")

BUDGET = 64 << 20
"""Bytes of the ComplianceReports of all these specifications together."""
_DONE = (0, EXIT_FINDINGS, EXIT_NOT_EVALUATED)


class FleetWork:
    """What the runs of one operator do. It remembers which clusters a specification had, for `leave`."""

    def __init__(
        self,
        access: Access,
        runner: Runner,
        setup: Setup,
        count: Callable[[], int],
        seen: Seen | None,
        posts: Posts | None,
    ) -> None:
        self._access, self._runner, self._setup = access, runner, setup
        self._count = count
        self._seen, self._posts = seen, posts
        self._lock = threading.Lock()
        # Of each specification: the names of its clusters, and their identities.
        self._members: dict[str, dict[str, str]] = {}

    def do(self, name: str, run: Run) -> Step:
        """Start the run, wait for its end, and read what it found.

        Raises Stopped, ScanFailed, SourceError, LostLease.
        """
        folder = Path(tempfile.mkdtemp(prefix="kspec-fleet-"))
        try:
            setup = self._setup
            store = setup.store or str(folder / "fleet.db")
            words = [f"cr:{name}", f"--run={run.id}", "-o=json", *setup.words]
            words += [f"--store-reports={setup.place}"] if setup.place else []
            with watched(store, run.id, partial(self._goes_on, name, run)):
                ended = self._runner.fleet(name, words, store, folder, setup.timeout_s)
            if run.unwanted:
                raise Stopped("it no longer selects these clusters.", where=name)
            if ended.code is not None and ended.code not in _DONE:
                said = " ".join(ended.said) or "no output"
                raise ScanFailed(f"the run ended with exit code {ended.code}: {said}", where=name)
            return self._read(name, run, store, ended)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def leave(self, name: str, members: set[str]) -> None:
        """Nothing is known any more of clusters that are not selected now; of all others it is about to be said."""
        with self._lock:
            left = {one: uid for one, uid in self._members.get(name, {}).items() if one not in members}
        if left and self._seen is not None:
            self._seen.gone(name)
        for cluster, identity in left.items():
            if self._posts is not None:
                self._posts.left(name, cluster, identity)

    def forget(self, name: str) -> None:
        """Nothing is known of the clusters of this specification any more."""
        with self._lock:
            self._members.pop(name, None)

    # -- inside --------------------------------------------------------------------------------------------

    def _read(self, name: str, run: Run, url: str, ended: Ended) -> Step:
        from pytest_kspec.fleet.report import make_report
        from pytest_kspec.storage import fleet as stored
        from pytest_kspec.storage.engine import open_store

        with closing(open_store(url, option="--store")) as store:
            self._access.check()
            self._settle(store, run, ended)
            over = stored.find_run(store, run.id)
            report = make_report(store, over)
            rows = [row for row in report.rows if row.spec == name]
            results: dict[str, str] = {}
            self.leave(name, {row.name for row in rows})
            self._goes_on(name, run, stored.shards_of(store, run.id))
            if self._seen is not None and over.ended_at:
                self._seen.run_ended(name, seconds_of(over.created_at, over.ended_at))

            def see(result: ScanResult) -> None:
                for cluster in result.clusters:
                    results[cluster.name] = cluster.id
                    self._tell(name, result, cluster, {row.name: row.outcome for row in rows})

            self._write_reports(name, run, store, report, see)
        with self._lock:
            self._members[name] = {row.name: results.get(row.name, "") for row in rows}
        said, fields = fleetstatus.concluded(rows, run.silent, run.before, run.id)
        return Step(0.0, (said,), fields if self._setup.store else {**fields, "run": None}, ended=True)

    def _goes_on(self, name: str, run: Run, shards: Mapping[str, int]) -> None:
        if self._seen is not None and not run.unwanted:
            self._seen.run_goes_on(name, shards)

    def _settle(self, store: Any, run: Run, ended: Ended) -> None:
        """Clusters that no worker came to are errors: the run is over."""
        from pytest_kspec.fleet.local import Failed
        from pytest_kspec.fleet.runs import Order
        from pytest_kspec.fleet.scanning import conclude
        from pytest_kspec.storage import fleet as stored

        found = stored.find_run(store, run.id)
        if found.waiting:
            why = f"the run was ended after {self._setup.timeout_s:g} s."
            if ended.code is not None:
                why = " ".join(ended.said) or "no worker scanned it."
            failed = [Failed(shard, why, final=True) for shard in range(found.shards)]
            conclude(store, found.id, Order.from_wire(found.document), failed)

    def _write_reports(
        self, name: str, run: Run, store: Any, report: Any, see: Callable[[ScanResult], None]
    ) -> None:
        """ComplianceReports in the hub, within the budget; what cannot be written costs nothing else."""
        from pytest_kspec.fleet.hubreports import write_reports

        budget = BUDGET // max(1, self._count())
        try:
            done = self._access.do(
                lambda writer: write_reports(
                    store,
                    report,
                    writer,
                    NAMESPACE,
                    budget=budget,
                    see=see,
                    is_kept=bool(self._setup.store),
                    owner={
                        "apiVersion": RESOURCE_VERSION,
                        "kind": SPEC_KIND,
                        "name": name,
                        "uid": run.mark[0],
                    },
                )
            )
        except LostLease:
            raise
        except KspecError as error:
            problems: Sequence[str] = (str(error),)
        else:
            problems = done.problems
        if problems:
            text = f"ComplianceReports are missing: {'; '.join(problems[:3])}"
            log.warning("%s: %s", name, text)
            run.notes.append(Note("Warning", "ReportsNotWritten", text[: status.LONGEST_MESSAGE]))

    def _tell(
        self, name: str, result: ScanResult, cluster: ClusterResult, outcomes: Mapping[str, str]
    ) -> None:
        from msgspec.structs import replace

        outcome = outcomes.get(cluster.name, "")
        if self._seen is not None and outcome == Outcome.SCANNED:
            self._seen.scanned(name, Scanned(replace(result, clusters=(cluster,)), (), _seconds(cluster)))
        elif self._seen is not None and outcome != Outcome.DUPLICATE:
            self._seen.scan_failed(cluster.name, name, outcome or Outcome.NOT_SCANNED.value)
        if self._posts is not None:
            self._posts.looked(cluster)


def _seconds(cluster: ClusterResult) -> float:
    """How long its checks took."""
    return sum(check.duration_seconds for check in cluster.checks)
