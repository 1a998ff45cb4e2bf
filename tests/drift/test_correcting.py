"""What is corrected, what is not and why, and what happens when a correction fails."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_kspec.audit import trail
from pytest_kspec.drift.correcting import FIGHT, WINDOW, Rules, carry_out, decide, is_fight
from pytest_kspec.drift.events import Action, DriftEvent, DriftKind, DriftType, Status
from pytest_kspec.drift.ledger import InCluster, Memory
from pytest_kspec.drift.policies import Drifted
from pytest_kspec.enforce.apply import Change
from pytest_kspec.errors import AccessDenied, Conflict, NotFound, Refused, SourceError, SourceUnavailable
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.verdict import Severity

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "2026-01-01T12:00:00Z"
V1 = "admissionregistration.k8s.io/v1"


def drifted(name: str, what: Any = "change", kind: DriftKind = DriftKind.MODIFIED, **more: Any) -> Drifted:
    ref = ResourceRef(V1, "ValidatingAdmissionPolicy", "", name)
    manifest = {"apiVersion": V1, "kind": ref.kind, "metadata": {"name": name}}
    event = DriftEvent(DriftType.POLICY, kind, Severity.MEDIUM, ref, f"{name} differs", STAMP, **more)
    return Drifted(event, Change(what, V1, ref.kind, name, manifest, "uid-1", error=None))


class Writer:
    """Answers each write with the next of `answers`, an error or None."""

    source = SimpleNamespace(no_policies="", name="prod", known_uid=lambda: "uid-1")

    def __init__(self, *answers: SourceError | None) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str]] = []

    def apply(self, manifest: dict[str, Any]) -> None:
        self._answer("apply", manifest["metadata"]["name"])

    def delete(self, api_version: str, kind: str, name: str, *, uid: str, **_: object) -> None:
        assert uid == "uid-1", "only the object that was looked at"
        self._answer("delete", name)

    def _answer(self, verb: str, name: str) -> None:
        self.sent.append((verb, name))
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


def run(writer: Any, memory: Memory, *found: Drifted, now: datetime = NOW) -> list[tuple[Action, Status]]:
    decided = decide(found, Rules(delete_extra=True), memory.since(now - WINDOW), STAMP)
    done = [event.remediation for event in carry_out(decided, writer, memory, lambda: now, spec="strict")]
    return [(one.action, one.status) for one in done if one is not None]


def test_one_that_fails_stops_no_other() -> None:
    immutable = Refused("cannot apply: spec.policyName: field is immutable.")
    changed = Conflict("cannot delete: the UID is another one.")
    writer = Writer(immutable, None, changed)
    found = (drifted("a"), drifted("b", "create", DriftKind.MISSING), drifted("c", "remove", DriftKind.EXTRA))
    assert run(writer, Memory(), *found) == [
        (Action.UPDATE, Status.FAILED),
        (Action.CREATE, Status.REMEDIATED),
        (Action.DELETE, Status.FAILED),
    ]
    assert writer.sent == [("apply", "a"), ("apply", "b"), ("delete", "c")]


def test_the_audit_log_has_each_correction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "audit.log"
    monkeypatch.setenv(trail.VARIABLE, str(log))
    run(Writer(Refused("cannot apply: field is immutable.")), Memory(), drifted("a"), drifted("b"))
    trail.flush()
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found = [one for one in records if one["type"] == "remediation"]
    place = {"cluster_name": "prod", "cluster_uid": "uid-1", "cluster_spec": "strict"}
    for one in found:
        assert place.items() <= one["resource"].items()
    assert [(one["action"], one["result"], one["resource"]["name"], one["message"]) for one in found] == [
        (
            "drift",
            "failure",
            "ValidatingAdmissionPolicy a",
            "a differs Not corrected: cannot apply: field is immutable.",
        ),
        ("drift", "success", "ValidatingAdmissionPolicy b", "b differs Corrected: changed."),
    ]


def test_a_correction_that_fails_five_times_and_then_succeeds_is_no_fight() -> None:
    memory = Memory()
    for _ in range(5):
        assert run(Writer(SourceUnavailable("HTTP 500")), memory, drifted("a")) == [
            (Action.UPDATE, Status.FAILED)
        ]
    assert memory.since(NOW - WINDOW) == {}
    assert run(Writer(), memory, drifted("a")) == [(Action.UPDATE, Status.REMEDIATED)]


def test_three_corrections_within_an_hour_are_a_fight_and_later_ones_are_not() -> None:
    memory, writer = Memory(), Writer()
    for minute in (0, 20, 40):
        moment = NOW + timedelta(minutes=minute)
        assert run(writer, memory, drifted("a"), now=moment) == [(Action.UPDATE, Status.REMEDIATED)]
    moment = NOW + timedelta(minutes=59)
    assert run(writer, memory, drifted("a"), drifted("b"), now=moment) == [
        (Action.MANUAL, Status.MANUAL),
        (Action.UPDATE, Status.REMEDIATED),
    ]
    assert run(writer, memory, drifted("a"), now=NOW + timedelta(minutes=61)) == [
        (Action.UPDATE, Status.REMEDIATED)
    ]
    (decided,) = decide([drifted("a")], Rules(), {"ValidatingAdmissionPolicy a": FIGHT}, STAMP)
    assert is_fight(decided.event)


@pytest.mark.parametrize(
    ("found", "rules", "why"),
    [
        (drifted("a", holder="Argo CD"), Rules(), "Argo CD manages it"),
        (drifted("a", "remove", DriftKind.EXTRA), Rules(), "deleted only with --force"),
        (drifted("a"), Rules(types=frozenset()), "drift of type policy is not enabled"),
        (drifted("a"), Rules(most=0), "has reached its limit of 0 corrections"),
    ],
    ids=["kept by another", "extra", "type", "max changes"],
)
def test_what_is_left_says_why(found: Drifted, rules: Rules, why: str) -> None:
    (decided,) = decide([found], rules, {}, STAMP)
    assert (decided.acts, decided.remediation.action) == (False, Action.SKIP)
    assert why in decided.remediation.details
    assert not is_fight(decided.event)


def of(severity: Severity, found: Drifted) -> Drifted:
    return found._replace(event=dataclasses.replace(found.event, severity=severity))


def limited(most: int, writer: Writer, *found: Drifted) -> dict[str, Status]:
    """Object → what became of it."""
    decided = decide(found, Rules(delete_extra=True, most=most), {}, STAMP)
    assert sum(one.acts for one in decided) == most
    events = carry_out(decided, cast("Any", writer), Memory(), lambda: NOW, spec="strict")
    return {event.resource.name: event.remediation.status for event in events if event.remediation}


def test_the_worst_are_corrected_where_there_are_more_than_a_run_may() -> None:
    writer = Writer()
    found = (
        of(Severity.MEDIUM, drifted("a")),
        of(Severity.HIGH, drifted("b")),
        of(Severity.MEDIUM, drifted("c")),
        of(Severity.HIGH, drifted("d")),
        of(Severity.LOW, drifted("e", "remove", DriftKind.EXTRA)),
    )
    done = limited(3, writer, *found)
    assert [name for name, status in done.items() if status is Status.REMEDIATED] == ["a", "b", "d"]
    assert writer.sent == [("apply", "a"), ("apply", "b"), ("apply", "d")], (
        "in the order in which they are applied"
    )


def test_those_that_fail_each_time_keep_no_other_from_it() -> None:
    no = Refused("no.")
    writer = Writer(no, no)
    found = [of(Severity.HIGH if name in "ab" else Severity.MEDIUM, drifted(name)) for name in "abcd"]
    assert limited(1, writer, *found) == {
        "a": Status.FAILED,
        "b": Status.FAILED,
        "c": Status.REMEDIATED,
        "d": Status.DETECTED,
    }
    away = Writer(SourceUnavailable("the API server does not answer."))
    assert limited(1, away, *found)["b"] is Status.DETECTED, "another one would fare no better"
    assert len(away.sent) == 1


@pytest.mark.parametrize(
    "error", [AccessDenied("no."), Refused("exceeded quota: q."), NotFound("no namespace.")]
)
def test_where_corrections_could_not_be_remembered_none_may_be_made(error: SourceError) -> None:
    def create(obj: Any, *, dry_run: bool) -> None:
        assert dry_run
        raise error

    writer = SimpleNamespace(find=lambda *_, **__: None, create=create)
    assert InCluster(cast("Any", writer), "strict").forbidden() == str(error)


class Forgetful(Memory):
    def note(self, name: str, moment: datetime) -> None:
        raise Refused("cannot patch ConfigMap: quota exceeded.")


def test_nothing_more_is_corrected_where_corrections_cannot_be_remembered() -> None:
    writer = Writer()
    decided = decide([drifted(name) for name in "abc"], Rules(), {}, STAMP)
    events = list(carry_out(decided, cast("Any", writer), Forgetful(), lambda: NOW, spec="strict"))
    assert writer.sent == [("apply", "a")]
    first, *others = [event.remediation for event in events]
    assert first is not None
    assert first.status is Status.REMEDIATED, "it was made, and is told"
    for one in others:
        assert one is not None
        assert (one.action, one.status) == (Action.SKIP, Status.DETECTED)
        assert "corrections cannot be recorded: cannot patch ConfigMap: quota exceeded." in one.details
