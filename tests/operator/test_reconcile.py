"""One specification, on a cluster that a test holds in its hand: what is written, and what happens after a fault."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.schema.definitions import find, manifest
from pytest_kspec.errors import Conflict, KspecError, NotFound, Refused, SourceUnavailable
from pytest_kspec.operator.fleetruns import Setup
from pytest_kspec.operator.fleets import AGAIN_S, Fleets
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.metrics import Metrics
from pytest_kspec.operator.reconcile import Reconciler, Settings
from pytest_kspec.operator.remote import Remote
from pytest_kspec.operator.remote import Settings as RemoteSettings
from pytest_kspec.operator.scans import Ended, ScanFailed, Scanned, Stopped
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Verdict
from tests.operator.test_status import cluster

T = TypeVar("T")
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SETTINGS = Settings(interval_s=300, removal_s=600)
Object = dict[str, Any]


class Cluster:
    """Objects by kind and name, as an API server keeps them: generations, versions, finalizers, conflicts.

    refuse: called with each write that is about to be done; what it raises is the answer
    """

    name = "prod"
    source = SimpleNamespace(
        no_policies="",
        name="prod",
        known_uid=lambda: "uid-1",
        info=lambda: SimpleNamespace(version="v1.33.0"),
    )

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Object] = {}
        self.writes: list[str] = []
        self.refuse: Callable[[str], None] = lambda what: None
        self._version = 0

    def do(self, action: Callable[[Any], T]) -> T:
        return action(self)

    def alone(self, what: str) -> AbstractContextManager[None]:
        return nullcontext()

    def put(self, kind: str, name: str, **fields: Any) -> Object:
        before = self.objects.get((kind, name))
        metadata: dict[str, Any] = (
            dict(before["metadata"]) if before else {"name": name, "uid": f"uid-{name}", "generation": 0}
        )
        metadata |= fields.pop("metadata", {})
        if before is None or fields.get("spec", before.get("spec")) != before.get("spec"):
            metadata["generation"] += 1
        self._version += 1
        metadata["resourceVersion"] = str(self._version)
        head = {"apiVersion": "kspec.io/v1alpha1", "kind": kind, "metadata": metadata}
        made = self.objects[kind, name] = {**(before or {}), **fields, **head}
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.objects[kind, name]
        return made

    def find(self, _: str, kind: str, name: str, **__: object) -> Object | None:
        return copy.deepcopy(self.objects.get((kind, name)))

    def get(self, api_version: str, kind: str, name: str, **_: object) -> Object:
        found = self.find(api_version, kind, name)
        if found is None:
            raise NotFound(f"there is no {kind} {name}.")
        return found

    def list(self, _: str, kind: str, **__: object) -> list[Object]:
        return [copy.deepcopy(item) for (of, _), item in sorted(self.objects.items()) if of == kind]

    def create(self, obj: Object, **_: object) -> Object:
        kind, name = obj["kind"], obj["metadata"].get("name", f"{len(self.objects)}")
        self._write(f"create {kind} {obj.get('reason', '')}".rstrip())
        if (kind, name) in self.objects:
            raise Conflict("it exists.")
        return self.put(kind, name, **{k: obj[k] for k in ("reason", "spec") if k in obj})

    def apply(self, obj: Object, *, subresource: str = "", **_: object) -> Object:
        kind, name = obj["kind"], obj["metadata"]["name"]
        self._write(f"apply {kind} {subresource}".rstrip())
        kept = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
        return self.put(kind, name, **kept)

    def replace(self, obj: Object, *, subresource: str = "", **_: object) -> Object:
        kind, name = obj["kind"], obj["metadata"]["name"]
        self._write(f"replace {kind} {subresource}")
        if self.get("", kind, name)["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict("it was changed meanwhile.")
        return copy.deepcopy(self.put(kind, name, status=_with_defaults(kind, obj["status"])))

    def patch(self, _: str, kind: str, name: str, patch: Object, **__: object) -> Object:
        self._write(f"patch {kind}")
        made = self.put(kind, name, metadata={"finalizers": patch["metadata"]["finalizers"]})
        return copy.deepcopy(made)

    def delete(self, _: str, kind: str, name: str, **__: object) -> bool:
        self._write(f"delete {kind}")
        return self.objects.pop((kind, name), None) is not None

    def _write(self, what: str) -> None:
        self.refuse(what)
        self.writes.append(what)


def _with_defaults(kind: str, status: Object) -> Object:
    """As the API server keeps it: with the defaults of the definition."""
    definition = find(kind.lower())
    if definition is None:
        return status
    schema = manifest(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    made: Object = _filled(schema["properties"]["status"], status)
    return made


def _filled(schema: Object, value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(schema.get("items") or {}, one) for one in value]
    if not isinstance(value, dict):
        return value
    named = schema.get("properties") or {}
    added = {key: one["default"] for key, one in named.items() if key not in value and "default" in one}
    return added | {key: _filled(named.get(key) or {}, one) for key, one in value.items()}


class Scans:
    """Results in their order; the last one stays. during: called while a scan runs."""

    def __init__(self, *results: tuple[Verdict, ...] | KspecError) -> None:
        self.results = list(results)
        self.count = 0
        self.during: Callable[[], object] = lambda: None

    def scan(self, name: str, run: str) -> Scanned:
        self.count += 1
        found = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        self.during()
        if isinstance(found, KspecError):
            raise found
        finished = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        return Scanned(ScanResult("1", finished, finished, (cluster(*found),)), (), 1.0)


class NoRuns:
    """No specification here is for other clusters."""

    def fleet(self, *_: object) -> Ended:
        raise AssertionError


class World:
    def __init__(self, *results: tuple[Verdict, ...] | KspecError) -> None:
        self.cluster = Cluster()
        self.scans = Scans(*results)
        self.now = NOW
        self.metrics: Metrics | None = None
        self._process: Reconciler | None = None
        self.put({"kubernetes": {"minVersion": "1.29"}})

    def put(self, spec: Object, **metadata: Any) -> None:
        self.cluster.put("ClusterSpecification", "s", spec=spec, metadata=metadata)

    def reconcile(self) -> float | None:
        """As a process that has just started would."""

        known = {"s": self.cluster.objects.get(("ClusterSpecification", "s"), {})}
        access = cast("Access", self.cluster)
        fleets = Fleets(access, NoRuns(), Setup(), lambda name: None)
        remote = Remote(access, dict, load_checks, lambda name: None, RemoteSettings())
        self._process = Reconciler(
            access,
            self.scans,
            load_checks,
            lambda: known,
            SETTINGS,
            self.metrics,
            fleets=fleets,
            remote=remote,
        )
        return self.go_on()

    def go_on(self) -> float | None:
        """As the same process would."""
        assert self._process is not None
        with clock.at(self.now):
            return self._process.reconcile(("", "s"))

    @property
    def process(self) -> Reconciler:
        assert self._process is not None
        return self._process

    @property
    def status(self) -> Object:
        return dict(self.cluster.objects["ClusterSpecification", "s"].get("status", {}))

    def ready(self) -> tuple[str, str]:
        (one,) = [one for one in self.status["conditions"] if one["type"] == "Ready"]
        return one["status"], one["reason"]

    def events(self) -> list[str]:
        return sorted(
            what.removeprefix("create Event ") for what in self.cluster.writes if "create Event" in what
        )


PASS, FAIL = (Verdict.PASS,), (Verdict.FAIL,)


def test_nothing_is_done_before_it_is_due() -> None:
    world = World(PASS)
    again = world.reconcile()
    assert again is not None
    assert 300 <= again <= 330
    written, status = len(world.cluster.writes), world.status
    world.now += timedelta(seconds=again / 2)
    assert world.reconcile() == pytest.approx(again / 2, abs=1)
    assert (world.scans.count, len(world.cluster.writes), world.status) == (1, written, status)
    world.now += timedelta(seconds=again)
    world.reconcile()
    assert world.scans.count == 2
    assert world.cluster.writes[written:] == ["replace ClusterSpecification status"], (
        "times, and nothing else"
    )
    assert world.events() == ["ScanCompleted"]


def test_a_new_generation_is_due_at_once() -> None:
    world = World(PASS, FAIL)
    world.reconcile()
    world.put({"kubernetes": {"minVersion": "1.99"}})
    world.reconcile()
    assert (world.ready(), world.scans.count) == (("False", "ComplianceChecksFailed"), 2)
    assert world.status["observedGeneration"] == 2


def test_a_scan_from_the_future_is_none() -> None:
    world = World(PASS)
    world.now += timedelta(days=1)
    world.reconcile()
    world.now = NOW
    world.reconcile()
    assert world.scans.count == 2


def test_what_a_scan_found_is_thrown_away_where_the_specification_changed_meanwhile() -> None:
    world = World(PASS, FAIL)
    world.scans.during = lambda: world.put({"kubernetes": {"minVersion": "1.99"}})
    assert world.reconcile() == 0
    assert world.status == {}
    assert world.cluster.writes == [], "nor is there a report of it"
    world.scans.during = lambda: None
    world.reconcile()
    assert world.ready() == ("False", "ComplianceChecksFailed")


def test_nothing_is_left_of_one_that_was_deleted_while_it_was_scanned() -> None:
    world = World(PASS)
    world.scans.during = lambda: world.cluster.objects.clear()
    assert world.reconcile() == 0
    assert (world.reconcile(), world.cluster.writes) == (None, [])


def test_one_that_requires_nothing_is_not_scanned_again_and_again() -> None:
    world = World(ScanFailed("the scan ended with exit code 4 and no result.", where="s"))
    world.put({})
    wait = world.reconcile()
    assert wait is not None
    assert wait >= SETTINGS.interval_s
    assert world.ready() == ("Unknown", "ComplianceChecksNotEvaluated")
    assert "does not require any check" in world.status["conditions"][0]["message"]
    assert (world.status["phase"], "complianceScore" in world.status) == ("Failed", False)
    assert (world.reconcile(), world.scans.count) == (wait, 1)
    assert world.events() == ["ScanFailed"]


def test_a_scan_without_result_leaves_no_verdict_of_yesterday() -> None:
    world = World(PASS, ScanFailed("the scan was killed after 900 s.", where="s"), PASS)
    world.reconcile()
    assert world.status["complianceScore"] == 100
    world.now += timedelta(hours=1)
    with pytest.raises(ScanFailed):
        world.reconcile()
    assert world.ready() == ("Unknown", "ReconciliationFailed")
    assert {"complianceScore", "nextScanTime"}.isdisjoint(world.status)
    assert world.status["summary"] == {"policiesEnforced": 0, "driftEvents": 0}, (
        "no scan is needed to know it"
    )
    assert world.status["lastScanTime"] == "2026-11-29T12:00:00Z"
    world.reconcile()
    assert world.ready() == ("True", "ComplianceChecksPassed")
    assert world.events() == ["ComplianceRestored", "ScanCompleted", "ScanFailed"]


def test_a_scan_that_ended_with_the_operator_says_nothing() -> None:
    world = World(PASS, Stopped("the operator ends.", where="s"))
    world.reconcile()
    before = world.status
    world.now += timedelta(hours=1)
    with pytest.raises(Stopped):
        world.reconcile()
    assert world.status == before


def test_a_specification_of_another_cluster_is_not_scanned() -> None:
    world = World(PASS)
    world.put({"clusterRef": "elsewhere", "kubernetes": {"minVersion": "1.29"}})
    assert world.reconcile() == AGAIN_S
    assert (world.ready(), world.scans.count) == (("Unknown", "OtherCluster"), 0)
    world.reconcile()
    assert world.cluster.writes.count("replace ClusterSpecification status") == 1


def test_one_that_cannot_be_read_says_what_validate_says() -> None:
    world = World(PASS)
    world.put({"policyInheritance": {"basePolicies": ["none"]}})
    world.reconcile()
    assert world.ready() == ("False", "InvalidSpecification")
    assert "cr:s:" in world.status["conditions"][0]["message"]
    world.put({"kubernetes": {"minVersion": "1.29"}})
    world.reconcile()
    assert world.ready() == ("True", "ComplianceChecksPassed")


def test_a_status_that_others_write_to_is_written_all_the_same() -> None:
    world = World(PASS)
    times = [0]

    def meanwhile(what: str) -> None:
        if what.endswith("status") and "Specification" in what and times[0] < 2:
            times[0] += 1
            world.put({"kubernetes": {"minVersion": "1.29"}}, labels={"n": str(times[0])})

    world.cluster.refuse = meanwhile
    world.reconcile()
    assert (world.ready(), world.scans.count) == (("True", "ComplianceChecksPassed"), 1)


def test_reports_and_events_that_cannot_be_written_cost_nothing_else() -> None:
    world = World(PASS)

    def refuse(what: str) -> None:
        if "Report" in what or "Event" in what:
            raise Refused("quota exceeded.")

    world.cluster.refuse = refuse
    world.reconcile()
    assert world.ready() == ("True", "ComplianceChecksPassed")


def test_a_report_that_is_refused_is_told_once() -> None:
    world = World(PASS)
    problem = ["quota exceeded."]

    def refuse(what: str) -> None:
        if "ComplianceReport" in what and problem:
            raise Refused(f"cannot create s-{world.now:%Y%m%d-%H%M%S}: {problem[0]}")

    def scanned() -> int:
        world.now += timedelta(hours=1)
        world.go_on()
        return world.events().count("ReportsNotWritten")

    world.cluster.refuse = refuse
    world.reconcile()
    assert (world.ready(), scanned()) == (("True", "ComplianceChecksPassed"), 1)
    problem[:] = ["the definition is of another version."]
    assert scanned() == 2, "another reason"
    problem.clear()
    assert scanned() == 2
    problem[:] = ["quota exceeded."]
    world.scans.results = [FAIL]
    assert scanned() == 3, "it was written meanwhile"


def test_a_report_that_the_server_could_not_take_is_tried_again_before_the_next_scan() -> None:
    world = World(PASS)
    left = [2]

    def busy(what: str) -> None:
        if "Report" in what and left[0]:
            left[0] -= 1
            raise SourceUnavailable("HTTP 429: storage is (re)initializing.")

    def reports() -> int:
        return sum(kind == "ComplianceReport" for kind, _ in world.cluster.objects)

    world.cluster.refuse = busy
    with pytest.raises(SourceUnavailable, match="not written yet"):
        world.reconcile()
    assert (world.ready(), reports()) == (("True", "ComplianceChecksPassed"), 0), "the status does not wait"
    with pytest.raises(SourceUnavailable, match="not written yet"):
        world.go_on()
    again = world.go_on()
    assert again is not None
    assert 300 <= again <= 330
    assert (reports(), world.scans.count) == (1, 1)


@contextmanager
def killed_at(world: World, number: int) -> Iterator[None]:
    """The process ends instead of its write of this number."""
    left = [number]

    def refuse(what: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise LostLease("killed.")

    world.cluster.refuse = refuse
    yield
    world.cluster.refuse = lambda what: None


def outcome(world: World) -> Object:
    """What is there, but for versions and Events."""
    kept = {key: copy.deepcopy(item) for key, item in world.cluster.objects.items() if key[0] != "Event"}
    for item in kept.values():
        item["metadata"].pop("resourceVersion")
    return {str(key): item for key, item in kept.items()}


def test_whoever_goes_on_after_a_kill_ends_in_the_same_state() -> None:
    whole = World(PASS)
    whole.reconcile()
    count = len(whole.cluster.writes)
    assert count >= 4
    for number in range(count):
        world = World(PASS)
        with killed_at(world, number), pytest.raises(LostLease):
            world.reconcile()
        world.reconcile()
        assert outcome(world) == outcome(whole), f"killed before write {number}"


def test_what_is_deleted_is_released_once_its_policies_are_gone_or_that_took_too_long() -> None:
    world = World(PASS)
    world.put({"kubernetes": {}}, finalizers=["kspec.io/finalizer", "other"])
    world.put({"kubernetes": {}}, deletionTimestamp="2026-11-29T12:00:00Z")
    listed = world.cluster.list

    def fail(api_version: str, kind: str, **more: object) -> list[Object]:
        raise SourceUnavailable("no answer.")

    world.cluster.list = fail  # type: ignore[method-assign,assignment]
    world.now += timedelta(seconds=599)
    with pytest.raises(SourceUnavailable):
        world.reconcile()
    world.now += timedelta(seconds=1)
    assert world.reconcile() is None
    assert world.events() == ["RemovalFailed"]
    assert world.cluster.objects["ClusterSpecification", "s"]["metadata"]["finalizers"] == ["other"]

    world.put({"kubernetes": {}}, finalizers=["kspec.io/finalizer"])
    world.cluster.list = listed  # type: ignore[method-assign]
    assert world.reconcile() is None
    assert ("ClusterSpecification", "s") not in world.cluster.objects
    assert world.reconcile() is None
    assert world.scans.count == 0


def test_a_cluster_that_does_not_answer_is_a_reason_to_try_again() -> None:
    world = World(PASS)

    def refuse(what: str) -> None:
        raise SourceUnavailable("no answer.")

    world.cluster.refuse = refuse
    with pytest.raises(KspecError, match="no answer"):
        world.reconcile()
    assert world.status == {}
