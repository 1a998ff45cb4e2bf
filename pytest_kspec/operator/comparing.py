"""What a DriftConfig compares: policies, requirements and objects, each as `kspec drift` does.

Requirements are compared by a scan of now with the newest run in the store that ended before the last look whose scan
evaluated everything (`baselineTime` of the status): the scans between two looks do not hide what they found first.
What was drift stays drift while it is there. After a change of the specification or of kspec, the first run is what
later ones are compared with.
"""

from __future__ import annotations

import base64
import binascii
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kspec.cluster.watch.reflector import Object
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.models.driftconfig import LAST_GOOD_RUN, DriftConfigSpec
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.drift import compliance, configuration, goodrun, policies
from pytest_kspec.drift.events import DriftType
from pytest_kspec.drift.looking import Looking
from pytest_kspec.enforce.modes import asked_engines, asked_mode
from pytest_kspec.errors import KspecError
from pytest_kspec.kube import managedfields
from pytest_kspec.operator import enforcing, engineturn, status
from pytest_kspec.operator.drifthistory import DriftHistory
from pytest_kspec.operator.driftsaid import NOT_YET
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.scans import Scans, logged
from pytest_kspec.operator.statuswriting import is_there
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.loading import LoadedSpec

SNAPSHOT_KEY = "snapshot.tar.gz"
_KINDS = "spec.configuration.kinds"


class Scanned(NamedTuple):
    """What a scan for a DriftConfig says.

    whole: later scans can be compared with it; good: everything was evaluated, and is met
    """

    whole: bool
    good: bool


class Comparing:
    """The comparisons of one process.

    scans: of the cluster, for requirements; history: the store that they are compared with
    """

    def __init__(
        self,
        access: Access,
        checks: Callable[[], CheckSet],
        options: Any,
        scans: Scans,
        history: DriftHistory,
    ) -> None:
        self._access, self._checks, self._options = access, checks, options
        self._scans = scans
        self._history = history

    def policies(
        self, looking: Looking, item: Object, spec: LoadedSpec, now: datetime, writer: Writer
    ) -> None:
        """Compare the policies of a specification. Raises KspecError."""
        engines = asked_engines(spec)
        if not engines:
            looking.no_policies()  # nothing is to be there, and the operator removes what is
            return
        settled = engineturn.Settled.of(item, spec)
        asked = enforcing.Asked(self._checks, self._access.name, self._options)
        wanted = enforcing.wanted_of(spec, writer, asked, now)
        for name in engines:
            planned = engineturn.plan(name, wanted, writer, keep_errors=True)
            if not settled.holds(asked_mode(spec), engines, planned.there, now):
                looking.problems.append(f"its policies ({name}) {NOT_YET}")
                continue
            found = policies.judge(spec, planned.changes, status.stamp(now))
            if found.drifted and not is_there(self._access, item):
                looking.problems.append(f"its policies ({name}) {NOT_YET}")  # of what it is by now
                continue
            looking.policies(spec.name, found)

    def requirements(
        self, looking: Looking, item: Object, spec: LoadedSpec, now: datetime, until: str, run: str
    ) -> Scanned:
        """Compare a scan of now with the run before `until` ("": before now). run: its id. Raises KspecError."""
        scanned = logged(lambda: self._scans.scan(spec.name, run), spec.name)
        (cluster,) = scanned.result.clusters
        tool = scanned.result.tool_version
        if scanned.unstored:
            looking.problems.append(f"the scan is not in the store: {scanned.unstored}")
        from pytest_kspec.storage.drift import Wanted

        began = scanned.result.started_at
        wanted = Wanted(until or began, _changed_at(item), began, tool, cluster.spec_version or "")
        last = self._history.last_run(cluster.id, spec.name, wanted)
        known = self._history.known(cluster.id, spec.name)

        def act(writer: Writer) -> compliance.Compared:
            return compliance.compare(last, cluster, tool, status.stamp(now), writer, known)

        found = self._access.do(act)
        looking.others(DriftType.COMPLIANCE, found.events, found.problems, found.still)
        whole = not scanned.unstored and all(cluster.looked_at(check) for check in cluster.checks)
        return Scanned(whole, goodrun.is_good(cluster))

    def scanned(self, spec: LoadedSpec, run: str) -> Scanned:
        """Scan without a comparison. run: the id of the run. Raises KspecError."""
        made = logged(lambda: self._scans.scan(spec.name, run), spec.name)
        return Scanned(True, goodrun.is_good(made.result.clusters[0]))

    def last_good(self, found: Object, config: DriftConfigSpec, now: datetime) -> goodrun.Looked | None:
        """Compare objects of the cluster with the last good run of the DriftConfig; None: it has another baseline.

        Raises KspecError.
        """
        if (good := self._good(found, config)) is None:
            return None
        return self._access.do(lambda writer: goodrun.look(good, writer, status.stamp(now)))

    def keep(self, found: Object, config: DriftConfigSpec, looked: goodrun.Looked, now: datetime) -> bool:
        """Make what was looked at the last good run; False: it changed meanwhile. Raises KspecError."""
        good = self._good(found, config)
        assert good is not None
        self._access.check()  # the store does not know who leads
        return self._access.do(lambda writer: goodrun.keep(good, looked, writer.source, status.stamp(now)))

    def _good(self, found: Object, config: DriftConfigSpec) -> goodrun.Good | None:
        asked = config.configuration
        if asked is None or asked.baseline != LAST_GOOD_RUN:
            return None
        owner = f"DriftConfig {found['metadata'].get('uid')}"
        return goodrun.Good(self._history.open, owner, tuple(asked.kinds), _KINDS)

    def objects(self, config: DriftConfigSpec, now: datetime) -> configuration.Compared:
        """Compare objects of the cluster with the snapshot of the DriftConfig. Raises LostLease."""
        asked = config.configuration
        if asked is None or asked.snapshot_ref is None:
            return configuration.Compared(
                (), ("spec.configuration is missing: name kinds and a snapshot to compare.",)
            )
        name, key = asked.snapshot_ref.name, asked.snapshot_ref.key or SNAPSHOT_KEY
        try:
            found = self._access.do(lambda writer: writer.find("v1", "ConfigMap", name, namespace=NAMESPACE))
            content = _content(found, name, key)
            with tempfile.TemporaryDirectory(prefix="kspec-") as folder:
                path = Path(folder, SNAPSHOT_KEY)
                path.write_bytes(content)
                with closing(configuration.packed(path)) as snapshot:

                    def act(writer: Writer) -> configuration.Compared:
                        return configuration.compare(
                            snapshot,
                            writer.source,
                            asked.kinds,
                            status.stamp(now),
                            writer,
                            _KINDS,
                        )

                    made = self._access.do(act)
        except LostLease:
            raise
        except KspecError as error:
            text = re.sub(rf"\S*{re.escape(SNAPSHOT_KEY)}(?=:)", f"ConfigMap {NAMESPACE}/{name}", str(error))
            return configuration.Compared((), (f"objects could not be compared: {text}",))
        return made


def _content(found: Object | None, name: str, key: str) -> bytes:
    """The snapshot in a ConfigMap. Raises KspecError."""
    where = f"ConfigMap {NAMESPACE}/{name}"
    if found is None:
        raise KspecError(
            "it does not exist.",
            where=where,
            fix=f"kubectl create configmap {name} -n {NAMESPACE} --from-file={key}=FILE.tar.gz",
        )
    packed = (found.get("binaryData") or {}).get(key)
    if not isinstance(packed, str):
        raise KspecError(f"it has no binaryData with the key {key}.", where=where)
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise KspecError(f"{key} is not base64.", where=where) from None


def _changed_at(item: Mapping[str, Any]) -> str:
    """When the specification was last written, as the API server says, RFC 3339: runs before were of another one."""
    created = str(item["metadata"].get("creationTimestamp") or "")
    times = [
        entry.time
        for entry in managedfields.entries(item)
        if managedfields.holds(entry, "spec") and entry.time
    ]
    return max([created, *times])
