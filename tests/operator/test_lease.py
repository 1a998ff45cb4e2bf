"""Who leads, with a clock and a server that do what a test says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from pytest_kspec.audit import trail
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import AccessDenied, Conflict, NotFound, SourceUnavailable
from pytest_kspec.operator.lease import Elector, LostLease, Terms
from tests.cluster.api import Api, Reply, group_version, kubeconfig

T = TypeVar("T")
TERMS = Terms(9.0, 6.0, 1.5)


class Server:
    """One Lease, the clock of all, and the errors that it answers with. lost: writes arrive, their answers do not."""

    name = "prod-eu"

    def __init__(self) -> None:
        self.now = 1000.0
        self.lease: dict[str, Any] | None = None
        self.writes: list[str] = []
        self.error: Exception | None = None
        self.lost = False
        self.slow_s = 0.0
        self._version = 0
        self.asked = 0

    @property
    def source(self) -> Server:
        """What answers, too."""
        return self

    def known_uid(self) -> str:
        """Of the cluster; known to this connection from the second time on."""
        self.asked += 1
        return "uid-of-prod" if self.asked > 1 else ""

    def do(self, action: Callable[[Any], T]) -> T:
        return action(self)

    def find(self, *_: object, **__: object) -> dict[str, Any] | None:
        self._fail()
        return self.lease

    def create(self, obj: dict[str, Any], **_: object) -> dict[str, Any]:
        self._fail()
        if self.lease is not None:
            raise Conflict("it exists already.")
        return self._put(obj, "uid-1")

    def replace(self, obj: dict[str, Any], **_: object) -> dict[str, Any]:
        self._fail()
        if self.lease is None:
            raise NotFound("gone.")
        if obj["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("it was changed meanwhile.")
        return self._put(obj, obj["metadata"]["uid"])

    def _put(self, obj: dict[str, Any], uid: str) -> dict[str, Any]:
        self._version += 1
        metadata = {**obj["metadata"], "uid": uid, "resourceVersion": str(self._version)}
        self.lease = {**obj, "metadata": metadata}
        self.writes.append(obj["spec"]["holderIdentity"])
        if self.lost:
            raise SourceUnavailable("no answer.")
        return self.lease

    def _fail(self) -> None:
        self.now += self.slow_s
        if self.error is not None:
            raise self.error


@pytest.fixture
def server() -> Server:
    return Server()


def candidate(server: Server, name: str, terms: Terms = TERMS) -> Elector:
    access = cast("Access", server)
    return Elector(access, "kspec-system", name, terms, clock=lambda: server.now, chance=lambda: 0.0)


def pass_time(server: Server, seconds: float, *electors: Elector) -> None:
    """Each looks at the Lease each retry period."""
    end = server.now + seconds
    while server.now < end:
        server.now += TERMS.retry_s
        for elector in electors:
            elector.step()


def test_one_leads_and_goes_on_leading(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    assert a.step() == b.step() == TERMS.retry_s
    assert (a.leads, b.leads) == (True, False)
    a.check()
    with pytest.raises(LostLease):
        b.check()
    pass_time(server, 60, a, b)
    assert (a.leads, b.leads, set(server.writes)) == (True, False, {"a"})
    assert server.lease is not None
    assert server.lease["spec"]["leaseTransitions"] == 0


def test_a_silent_leader_is_followed_once_it_knows_that_it_leads_no_more(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    pass_time(server, 30, a, b)
    silent_since, refused_since = server.now, None
    while not b.leads:
        assert server.now - silent_since < 15, "no takeover takes longer"
        pass_time(server, TERMS.retry_s, b)
        if not a.leads and refused_since is None:
            refused_since = server.now
    assert refused_since is not None
    assert refused_since < server.now, "a refuses before b begins"
    assert b.transitions == 1
    assert (a.fencing_token, b.fencing_token) == (("uid-1", 0), ("uid-1", 1))
    with pytest.raises(LostLease):  # as after SIGCONT
        a.check()
    with pytest.raises(LostLease):
        a.step()
    assert server.writes[-1] == "b"


def test_who_cannot_renew_gives_up_in_time_whatever_the_reason(server: Server) -> None:
    for error in (SourceUnavailable("down."), AccessDenied("forbidden.")):
        server.error, server.lease = None, None
        a = candidate(server, "a")
        a.step()
        server.error = error
        pass_time(server, 4, a)
        assert a.leads
        with pytest.raises(LostLease):
            pass_time(server, 4, a)
        assert not a.leads


def test_a_lease_counts_from_when_its_renewal_was_sent(server: Server) -> None:
    a = candidate(server, "a")
    server.slow_s = 1.4
    a.step()
    server.slow_s = 0
    server.now += TERMS.renew_s - 1.4
    assert not a.leads


def test_a_renewal_whose_answer_is_lost_is_no_loss(server: Server) -> None:
    a = candidate(server, "a")
    a.step()
    server.lost = True
    pass_time(server, TERMS.retry_s, a)
    server.lost = False
    pass_time(server, 30, a)
    assert a.leads


def test_a_lease_that_somebody_took_or_deleted_is_lost_at_once(server: Server) -> None:
    def take() -> None:
        assert server.lease is not None
        server._put({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "x"}}, "uid-1")

    def delete() -> None:
        server.lease = None

    for act in (take, delete):
        server.lease = None
        a = candidate(server, "a")
        a.step()
        act()
        with pytest.raises(LostLease):
            a.step()
        assert not a.leads


def test_a_lease_that_is_given_up_is_taken_at_the_next_look(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    b.step()
    a.release()
    assert not a.leads
    b.step()
    assert (b.leads, b.transitions) == (True, 1)
    a.step()
    a.release()
    assert server.writes == ["a", "", "b"], "who gave it up writes no more"


def test_the_audit_log_says_what_became_of_a_lease(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.log"
    monkeypatch.setenv("KSPEC_AUDIT_LOG", str(path))
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    assert server.asked == 1
    a.step()
    assert server.asked == 1, "who leads asks for nothing but its Lease"
    a.release()
    b.step()
    server.error = SourceUnavailable("the API server is away.")
    caplog.clear()
    with caplog.at_level("INFO"):
        b.release()
    trail.flush()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    happened = [(one["action"], one["result"], one["message"].split()[0]) for one in records]
    taken, given = ("acquired", "success"), ("released", "success")
    assert happened == [(*taken, "a"), (*given, "a"), (*taken, "b"), ("released", "failure", "b")]
    assert "could not be released: the API server is away." in records[-1]["message"]
    assert "the Lease is released" not in caplog.messages
    assert {one["resource"]["name"] for one in records} == {"Lease kspec-system/kspec-operator-lock"}
    assert {one["resource"]["cluster_name"] for one in records} == {"prod-eu"}
    assert [one["resource"]["cluster_uid"] for one in records] == ["", "", *["uid-of-prod"] * 2]


def test_who_does_not_lead_any_more_releases_nothing(server: Server) -> None:
    a = candidate(server, "a")
    a.step()
    server.now += TERMS.renew_s
    a.release()
    assert server.writes == ["a"]


@pytest.mark.parametrize(
    ("said", "term_s"), [(15, 15), (1, 9), (137, 137), (10**9, 3600), ("x", 9), (None, 9), (True, 9)]
)
def test_another_holder_has_the_term_that_its_lease_says(server: Server, said: Any, term_s: float) -> None:
    spec = {
        "holderIdentity": "v0.3",
        "leaseDurationSeconds": said,
        "renewTime": "2200-01-01T00:00:00.000000Z",
    }
    metadata = {"name": "kspec-operator-lock", "uid": "u", "resourceVersion": "0"}
    server.lease = {"metadata": metadata, "spec": spec}
    b = candidate(server, "b")
    b.step()
    server.now += term_s - 0.5
    b.step()
    assert not b.leads
    server.now += 0.6
    b.step()
    assert b.leads


def test_a_leader_of_long_terms_is_not_followed_while_it_leads(server: Server) -> None:
    terms = Terms(1200.0, 900.0, 600.0)
    a, b = candidate(server, "a", terms), candidate(server, "b", terms)
    a.step()
    b.step()
    while a.leads:
        server.now += 50.0
        b.step()
        assert not b.leads, "two would lead"


def test_times_of_others_count_for_nothing(server: Server) -> None:
    spec = {"holderIdentity": "x", "leaseDurationSeconds": 9, "renewTime": "1970-01-01T00:00:00.000000Z"}
    metadata = {"name": "kspec-operator-lock", "uid": "u", "resourceVersion": "0"}
    server.lease = {"metadata": metadata, "spec": spec}
    b = candidate(server, "b")
    for version in range(20):  # it is renewed, with a clock that is wrong
        server.lease["metadata"] = {**metadata, "resourceVersion": str(version)}
        b.step()
        server.now += 8
    assert not b.leads


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        (Terms(3601, 6, 1), "at most 3600 s"),
        (Terms(5, 5, 1), "longer than the renew"),
        (Terms(9, 1, 1), "1.2 times"),
        (Terms(9, 6, 0), "than 0"),
    ],
)
def test_terms_that_cannot_work(terms: Terms, problem: str) -> None:
    assert problem in terms.problem()
    assert TERMS.problem() == ""


def test_a_watch_says_when_to_look_and_decides_nothing(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    assert server.lease is not None
    assert b.step() == TERMS.retry_s, "without a watch it is looked at each retry period"
    b.saw(server.lease)
    assert b.step() == 2 * TERMS.retry_s, "while a watch tells of it, less often"
    server.now += 2 * TERMS.retry_s
    assert b.step() == TERMS.retry_s, "a watch that fell silent costs no more than that"

    # A leader that renews is seen by the watch alone, whatever clock it writes times with.
    for _ in range(20):
        server.now += TERMS.retry_s
        a.step()
        server.lease["spec"]["renewTime"] = "1999-01-01T00:00:00Z"
        b.saw(server.lease)
    b.step()
    assert (a.leads, b.leads) == (True, False)

    # What a watch says of the past, or of a Lease that was given up and is not, takes nothing.
    b.saw({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": ""}})
    b.saw(None)
    assert b._woken.is_set()
    b.step()
    assert (a.leads, b.leads, server.writes[-1]) == (True, False, "a")


def test_a_dead_leader_is_followed_as_soon_as_its_time_is_over(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    assert server.lease is not None
    b.saw(server.lease)
    since = server.now
    wait = 0.0
    while not b.leads:
        server.now += wait
        wait = b.step()
    assert server.now - since == TERMS.lease_s


def test_what_cannot_be_written_is_not_tried_without_pause(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    b.step()
    server.now += 20
    server.error = AccessDenied("forbidden.")
    assert [b.step() for _ in range(3)] == [TERMS.retry_s] * 3


def test_a_lease_that_was_given_up_is_taken_by_the_one_that_is_woken(server: Server) -> None:
    a, b = candidate(server, "a"), candidate(server, "b")
    a.step()
    b.step()
    a.release()
    b.saw(server.lease)
    b.pause(3600.0)
    b.step()
    assert b.leads


def test_nobody_waits_for_itself(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A watch may see our write before its answer is read."""
    a = candidate(server, "a")
    with caplog.at_level("INFO"):
        a.saw({"metadata": {"uid": "u", "resourceVersion": "1"}, "spec": {"holderIdentity": "a"}})
        a.saw({"metadata": {"uid": "u", "resourceVersion": "2"}, "spec": {"holderIdentity": "b"}})
    waits = [record for record in caplog.records if record.getMessage().startswith("waits")]
    assert [record.fields for record in waits] == [{"leader": "b"}]  # type: ignore[attr-defined]


def test_an_api_server_that_answers_late_costs_no_more_than_a_retry_period(tmp_path: Path) -> None:
    """An answer after half a minute would come when another replica leads."""
    group = "/apis/coordination.k8s.io/v1"
    path = f"{group}/namespaces/kspec-system/leases/kspec-operator-lock"
    with Api({group: group_version(("leases", "Lease", True)), path: Reply(wait_s=30.0)}) as api:
        access = Access("prod", str(kubeconfig(tmp_path, api.url)), limits=TERMS.limits)
        elector = Elector(access, "kspec-system", "late")
        since = time.monotonic()
        assert elector.step() > 0
        assert time.monotonic() - since < 15.0, "far above a retry period, far below the answer"
        assert not elector.leads
        assert api.paths(path), "it was asked"
