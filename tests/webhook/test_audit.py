"""The audit log: three formats of one record, no secrets, and a sink that never holds up a review."""

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_kspec.audit.sink import AuditLog, Lost, Queue
from pytest_kspec.enforce.decide import decide, not_evaluated
from pytest_kspec.webhook import audit
from pytest_kspec.webhook.events import A_MINUTE, EventSink, event_of
from tests.audit.reading import read_cef, read_ecs, read_ocsf
from tests.webhook.reviewing import NOW, container, forbid, pod, policies, policy, request, require


def entry(obj: Any, *made: Any) -> Any:
    return recorded(request(obj), policies(*made))


def recorded(asked: Any, made: Any) -> Any:
    return of_decision(asked, decide(asked, made, NOW))


def of_decision(asked: Any, decision: Any) -> Any:
    said = audit.said_of(decision, audit.strictest(decision))
    return audit.record(asked, decision.resource, said, NOW)


DENIED = entry(pod(hostNetwork=True), policy(forbid("hostNetwork")))


def test_json_is_one_line_with_everything() -> None:
    (line,) = audit.as_json(DENIED)
    data = json.loads(line)
    assert b"\n" not in line
    assert data["time"] == "2026-06-01T12:00:00.000+00:00"
    assert data["action"] == "denied"
    assert data["violations"][0] | {"expected": ""} == {
        "policy": "strict",
        "policyVersion": "",
        "mode": "enforce",
        "action": "denied",
        "check": "workloads.containers.forbidden[hostNetwork]",
        "severity": "high",
        "path": "spec.hostNetwork",
        "container": "",
        "actual": True,
        "expected": "",
        "message": "spec.hostNetwork is true, must be unset or false",
        "exemption": None,
    }


def test_ecs_has_the_fields_of_its_schema() -> None:
    (line,) = audit.as_ecs(DENIED)
    data = json.loads(line)
    assert data["@timestamp"].startswith("2026-06-01T12:00:00")
    assert data["ecs"]["version"].startswith("8.")
    assert data["event"] | {"id": ""} == {
        "kind": "alert",
        "category": ["api"],
        "type": ["creation", "denied"],
        "action": "admission-denied",
        "outcome": "failure",
        "id": "",
        "provider": "pytest-kspec",
        "module": "kspec",
        "dataset": "kspec.admission",
        "severity": 8,
    }
    assert data["user"]["name"] == "alice"
    assert data["orchestrator"]["resource"] == {"type": "Pod", "name": "web"}


def every_kind_of_record() -> Iterator[Any]:
    """Denied, warned, monitored, exempted, failed and failed open; created, changed and connected."""
    bad, old = pod(hostNetwork=True), pod()
    exempt = {"policyExemptions": [{"name": "agreed", "reason": "a test", "namespaces": ["shop"]}]}
    for mode in ("enforce", "audit", "monitor"):
        for part in (forbid("hostNetwork"), forbid("hostNetwork") | exempt):
            made = policies(policy(part, mode))
            for asked in (request(bad), request(bad, old)):
                yield recorded(asked, made)
            for operation in ("CREATE", "CONNECT"):
                asked = request(bad, operation=operation)
                for internal in (True, False):
                    failed = not_evaluated(asked, made, NOW, {}, "an error", internal=internal)
                    yield of_decision(asked, failed)


def test_ecs_uses_only_values_that_its_schema_allows() -> None:
    actions = set()
    for record in every_kind_of_record():
        (line,) = audit.as_ecs(record)
        actions.add(record["action"])
        assert read_ecs(line)["event"]["category"] == ["api"]
    assert actions == {"denied", "warned", "monitored", "exempted", "failed", "failed-open"}


def test_ecs_has_one_type_for_what_was_found() -> None:
    """An index that has seen `true` refuses the document that says "x"."""
    found = []
    for spec, part in (
        ({"hostNetwork": True}, forbid("hostNetwork")),
        ({"priority": 7}, forbid("priority", exists=True)),
        ({"nodeName": "n1"}, forbid("nodeName", exists=True)),
        ({"tolerations": [{"operator": "Exists"}]}, forbid("tolerations", exists=True)),
    ):
        (line,) = audit.as_ecs(entry(pod(**spec), policy(part)))
        found += [violation["actual"] for violation in json.loads(line)["kspec"]["violations"]]
    assert found == ["true", "7", "n1", '[{"operator":"Exists"}]']


def test_cef_is_what_a_reader_of_its_rules_reads() -> None:
    for record in every_kind_of_record():
        for line in audit.as_cef(record):
            head, _, fields = read_cef(line)
            assert head[:2] == ["pytest-kspec", "kspec webhook"]
            assert fields["outcome"] in ("success", "failure")
            assert fields["rt"] == str(round(NOW.timestamp() * 1000))
            assert {f"{key}Label" for key in fields if re.fullmatch("cs[1-6]", key)} <= fields.keys()


def test_ocsf_is_what_its_models_read() -> None:
    activities, statuses = set(), set()
    for record in every_kind_of_record():
        (line,) = audit.as_ocsf(record)
        found = read_ocsf(line)
        activities.add(found["activity_id"])
        statuses.add((record["allowed"], found["status_id"]))
        assert found["metadata"]["event_code"] == f"admission.{record['action']}"
        assert found["actor"]["user"]["name"] == "alice"
    assert activities == {1, 3, 99}
    assert statuses == {(True, 1), (False, 2)}
    (line,) = audit.as_ocsf(audit.refused("no review\n", NOW))
    assert read_ocsf(line)["status_id"] == 2


def test_cef_cuts_what_a_receiver_would_not_take_and_keeps_a_header_on_its_line() -> None:
    record = entry(pod(hostNetwork=True), policy(forbid("hostNetwork")))
    violation = record["violations"][0]
    long = violation | {"message": "a=b" * 1000, "check": "one\ntwo|three", "path": "p" * 9000}
    (line,) = audit.as_cef(record | {"violations": [long]})
    head, _, fields = read_cef(line.replace(b"\\|", b"/"))
    assert head[3] == "one two/three"
    assert len(fields["msg"].replace("\\=", "=")) == 1023
    assert len(fields["cs4"]) == 4000


def test_cef_escapes_and_has_a_line_a_violation() -> None:
    bad = entry(
        pod(hostNetwork=True, hostPID=True),
        policy(forbid("hostNetwork")),
        policy(forbid("hostPID"), name="x=y|z\n"),
    )
    lines = list(audit.as_cef(bad))
    assert len(lines) == 2
    for line in lines:
        assert re.match(rb"CEF:0\|pytest-kspec\|kspec webhook\|[^|]+\|[^|]+\|Admission denied\|8\|rt=", line)
        assert b"\n" not in line
    assert b"cs3=x\\=y|z\\n" in lines[1]


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"containers": [container(env=[{"name": "DB", "value": "a-SECRET"}])]}, forbid("env.value", exists=True)),
        ({"containers": [container(command=["x", "a-SECRET"])]}, forbid("command", exists=True)),
        (
            {"containers": [container(image="user:a-SECRET@evil/x://a:a-SECRET@h")]},
            {"workloads": {"images": {"requireDigests": True}}},
        ),
        (
            {"containers": [container(env=[{"name": "PASSWORD", "value": "a-SECRET"}])]},
            forbid("env", exists=True),
        ),
    ],
)  # fmt: skip
def test_values_that_may_be_credentials_are_not_written_but_their_path_is(
    spec: dict[str, Any], part: dict[str, Any]
) -> None:
    made = entry(pod(**spec), policy(part))
    assert made["violations"]
    for form in audit.FORMATS.values():
        assert b"SECRET" not in b"".join(form(made))
    assert "SECRET" not in str(event_of(made))
    assert made["violations"][0]["path"].startswith("spec.containers[app].")


def test_the_event_is_about_the_object_and_short() -> None:
    event = event_of(DENIED) or {}
    assert event["metadata"] == {"generateName": "web.", "namespace": "shop"}
    assert event["involvedObject"]["kind"] == "Pod"
    assert (event["reason"], event["type"]) == ("PolicyViolation", "Warning")
    assert "spec.hostNetwork is true" in event["message"]
    many = pod(containers=[container(name=f"c{i}") for i in range(200)])
    assert len((event_of(entry(many, policy(require("tty")))) or {})["message"]) <= 1000
    assert event_of(entry(pod(hostNetwork=True), policy(forbid("hostNetwork"), "monitor"))) is None


class Access:
    def __init__(self) -> None:
        self.written: list[Any] = []

    def do(self, action: Any) -> None:
        self.written.append(action)


def test_equal_events_are_one_and_their_number_is_bounded() -> None:
    clock, access = [0.0], Access()
    sink = EventSink(cast(Any, access), lambda: clock[0])
    sink.write([DENIED] * 50)
    assert len(access.written) == 1
    clock[0] += 601
    sink.write([DENIED])
    assert len(access.written) == 2
    other = [DENIED | {"resource": DENIED["resource"] | {"name": f"p{i}"}} for i in range(500)]
    sink.write(other)
    assert len(access.written) <= A_MINUTE + 1


class Slow:
    name = "slow"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.written: list[Any] = []

    def write(self, records: Any) -> None:
        self.gate.wait(10)
        if "fail" in records:
            raise Lost(records.count("fail"), "away")
        self.written += records

    def close(self) -> None:
        self.written.append("closed")


def test_a_sink_that_waits_holds_up_nobody_and_what_is_lost_is_counted() -> None:
    sink, dropped = Slow(), []
    queue = Queue(sink, 10, lambda name, count: dropped.append((name, count)))
    for number in range(300):
        queue.put(number)
    assert len(dropped) >= 300 - 2 * 11
    sink.gate.set()
    queue.close()
    assert sink.written[-1] == "closed"
    assert len(sink.written) - 1 + len(dropped) == 300


def test_a_sink_that_fails_says_what_it_lost_and_goes_on() -> None:
    sink, dropped = Slow(), []
    sink.gate.set()
    queue = Queue(sink, 10, lambda name, count: dropped.append(count))
    queue.put("fail")
    while not dropped:
        pass
    queue.put("good")
    queue.close()
    assert sink.written == ["good", "closed"]


def test_the_file_is_private_appended_to_and_made_anew_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_text("before\n")
    path.chmod(0o600)
    log = AuditLog(str(path), audit.as_json)
    log.write([DENIED])
    os.rename(path, tmp_path / "audit.log.1")
    log.write([DENIED, DENIED])
    log.close()
    assert len((tmp_path / "audit.log.1").read_text().splitlines()) == 2
    assert len(path.read_text().splitlines()) == 2
    assert path.stat().st_mode & 0o777 == 0o600
