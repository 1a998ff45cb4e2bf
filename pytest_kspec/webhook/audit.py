"""The audit log: a line for every denial, warning, exemption and failure. JSON, ECS, CEF or OCSF.

What a record holds is the same in each format; formats are functions of `record`. Values that look like
credentials are left out: the path says where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from pytest_kspec.audit.record import Format, Record, cef, ocsf
from pytest_kspec.enforce.admission import AdmissionRequest, cut
from pytest_kspec.enforce.decision import Decision, Failure, Found, counted
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.kube.reference import CLUSTER, ResourceRef
from pytest_kspec.redaction.marker import REDACTED
from pytest_kspec.redaction.names import Says, says
from pytest_kspec.results.finding import Finding, statement

LONGEST_VALUE = 500
MOST_VIOLATIONS = 200
_OPERATIONS = {"CREATE": "creation", "UPDATE": "change"}
_HIDDEN_FIELDS = re.compile(r"\.(env|command|args|httpHeaders|data|stringData)\b")

_ACTIONS = {Mode.ENFORCE: "denied", Mode.AUDIT: "warned", Mode.MONITOR: "monitored"}
_STRICTEST = ("denied", "failed-open", "warned", "failed", "exempted", "monitored")


def action_of(item: Found) -> str:
    """What a violation led to: denied, warned, monitored, exempted."""
    return "exempted" if item.finding.exemption else _ACTIONS[item.policy.mode]


def strictest(decision: Decision) -> str:
    """The strictest thing that a decision says, or allowed."""
    said = {action_of(item) for item in decision.found}
    if not decision.allowed:
        said.add("denied")
    elif decision.failed_open:
        said.add("failed-open")
    elif decision.failures:
        said.add("failed")
    return next((word for word in _STRICTEST if word in said), "allowed")


def safe(finding: Finding) -> Finding:
    """The same finding without a value of a field that holds what people write, and with less of a long one.

    Findings hold no credentials; a log that goes elsewhere and is kept for years is given less than they hold.
    """
    actual = finding.actual
    if actual is None or isinstance(actual, bool | int | float):
        return finding
    text = actual if isinstance(actual, str) else msgspec.json.encode(actual).decode()
    if _HIDDEN_FIELDS.search(finding.path) or _names_credential(actual) or REDACTED in text:
        shown: Any = REDACTED
    elif len(text) > LONGEST_VALUE:
        shown = cut(text, LONGEST_VALUE)
    else:
        return finding
    expected = finding.expected
    if shown == REDACTED:
        expected = expected.partition(" (")[0]  # what is in brackets may repeat a part of the value
    text = statement(finding.path, shown, expected)
    return replace(finding, actual=shown, expected=expected, message=text)


def _names_credential(value: Any) -> bool:
    """Whether a map holds, at any depth, a key that is called like a credential."""
    if isinstance(value, dict):
        return any(says(key) is Says.CREDENTIAL or _names_credential(child) for key, child in value.items())
    return isinstance(value, list) and any(map(_names_credential, value))


def said_of(decision: Decision, action: str) -> Record:
    """What a record says of a decision, whichever object it is about. action: of `strictest`."""
    return {
        "action": action,
        "allowed": decision.allowed,
        "violations": [_violation(item) for item in decision.found[:MOST_VIOLATIONS]],
        "violationCount": counted(decision.found),
        "failures": [_failure(failure) for failure in decision.failures],
    }


def record(request: AdmissionRequest, ref: ResourceRef, said: Record, moment: datetime) -> Record:
    """What happened, as plain data: the JSON format, and what the others are made of. said: of `said_of`."""
    return {
        "time": moment.isoformat(timespec="milliseconds"),
        "type": "admission",
        "action": said["action"],
        "allowed": said["allowed"],
        "dryRun": bool(request.dry_run),
        "uid": request.uid,
        "operation": request.operation,
        "subresource": request.sub_resource,
        "user": request.user_info.username,
        "resource": ref.to_wire(),
        "violations": said["violations"],
        "violationCount": said["violationCount"],
        "failures": said["failures"],
    }


def refused(why: str, moment: datetime) -> Record:
    """A request that was answered with an HTTP error: what was asked nobody knows. In the form of `record`."""
    failure = {"policy": "", "mode": "", "check": "", "what": why, "internal": False, "denies": False}
    return {
        "time": moment.isoformat(timespec="milliseconds"),
        "type": "admission",
        "action": "refused",
        "allowed": False,
        "dryRun": False,
        "uid": "",
        "operation": "",
        "subresource": "",
        "user": "",
        "resource": CLUSTER.to_wire(),
        "violations": [],
        "violationCount": 0,
        "failures": [failure],
    }


def _violation(item: Found) -> Record:
    finding = safe(item.finding)
    return {
        "policy": item.policy.name,
        "policyVersion": item.policy.spec.version,
        "mode": str(item.policy.mode),
        "action": action_of(item),
        "check": item.rule.requirement.id,
        "severity": str(item.rule.check.severity),
        "path": finding.path,
        "container": finding.container,
        "actual": finding.actual,
        "expected": finding.expected,
        "message": finding.message,
        "exemption": finding.exemption.to_wire() if finding.exemption else None,
    }


def _failure(failure: Failure) -> Record:
    return {
        "policy": failure.policy.name if failure.policy else "",
        "mode": str(failure.policy.mode) if failure.policy else "",
        "check": failure.requirement_id,
        "what": failure.what,
        "internal": failure.internal,
        "denies": failure.denies,
    }


# -- formats ---------------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode
_PRODUCT = "kspec webhook"


def as_json(entry: Record) -> Iterable[bytes]:
    """The record itself, one line."""
    yield _encode(entry)


def as_ecs(entry: Record) -> Iterable[bytes]:
    """Elastic Common Schema 8.11, one line; what it has no field for is under `kspec`."""
    resource = entry["resource"]
    checks = sorted({violation["check"] for violation in entry["violations"]})
    yield _encode(
        {
            "@timestamp": entry["time"],
            "ecs": {"version": "8.11.0"},
            "message": _message(entry),
            "event": {
                "kind": "alert" if entry["action"] in ("denied", "failed-open") else "event",
                "category": ["api"],
                "type": [*_operation(entry), "allowed" if entry["allowed"] else "denied"],
                "action": f"admission-{entry['action']}",
                "outcome": "success" if entry["allowed"] else "failure",
                "id": entry["uid"],
                "provider": "pytest-kspec",
                "module": "kspec",
                "dataset": "kspec.admission",
                "severity": max(map(_severity, entry["violations"]), default=0),
            },
            "user": {"name": entry["user"]},
            "rule": {"name": checks, "ruleset": sorted({v["policy"] for v in entry["violations"]})},
            "orchestrator": {
                "type": "kubernetes",
                "namespace": resource["namespace"],
                "resource": {"type": resource["kind"], "name": resource["name"]},
            },
            "kspec": _of_one_type(
                {key: entry[key] for key in entry if key not in ("time", "user", "uid", "resource")}
            ),
        }
    )


def _operation(entry: Record) -> list[str]:
    return [_OPERATIONS[entry["operation"]]] if entry["operation"] in _OPERATIONS else []


def _of_one_type(own: Record) -> Record:
    """What was found as text, whatever it was: an index has one type a field, and refuses documents of others."""
    violations = [{**violation, "actual": _text_of(violation["actual"])} for violation in own["violations"]]
    return {**own, "violations": violations}


def _text_of(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def as_cef(entry: Record) -> Iterable[bytes]:
    """ArcSight Common Event Format, one line a violation and one a failure."""
    resource = entry["resource"]
    common = {
        # Milliseconds: of ISO 8601 CEF knows nothing.
        "rt": str(round(datetime.fromisoformat(entry["time"]).timestamp() * 1000)),
        "act": entry["action"],
        "outcome": "success" if entry["allowed"] else "failure",
        "suser": entry["user"],
        "externalId": entry["uid"],
        "cs1Label": "resource",
        "cs1": f"{resource['kind']} {resource['namespace']}/{resource['name']}",
        "cs2Label": "operation",
        "cs2": "/".join(part for part in (entry["operation"], entry["subresource"]) if part),
    }
    for violation in entry["violations"]:
        extension = common | {
            "act": violation["action"],
            "cs3Label": "policy",
            "cs3": violation["policy"],
            "cs4Label": "path",
            "cs4": violation["path"],
            "msg": violation["message"],
        }
        if violation["exemption"]:
            extension |= {"cs5Label": "exemption", "cs5": violation["exemption"]["name"]}
        name = f"Admission {violation['action']}"
        yield cef(_PRODUCT, violation["check"], name, _severity(violation), extension)
    for failure in entry["failures"]:
        extension = common | {"cs3Label": "policy", "cs3": failure["policy"], "msg": failure["what"]}
        yield cef(_PRODUCT, failure["check"] or "kspec.webhook", f"Admission {entry['action']}", 8, extension)


_ACTIVITIES = {"CREATE": 1, "UPDATE": 3, "DELETE": 4}
_OTHER = 99
_SEVERITIES_OF_OCSF = {0: 1, 3: 2, 5: 3, 8: 4, 10: 5}


def as_ocsf(entry: Record) -> Iterable[bytes]:
    """OCSF: API Activity (6003), one line; violations are under `unmapped`, as JSON."""
    resource = entry["resource"]
    known = ocsf(
        6003,
        _ACTIVITIES.get(entry["operation"], _OTHER),
        datetime.fromisoformat(entry["time"]),
        _message(entry),
        _SEVERITIES_OF_OCSF[max(map(_severity, entry["violations"]), default=0)],
        1 if entry["allowed"] else 2,
        f"admission.{entry['action']}",
        {
            "dryRun": "true" if entry["dryRun"] else "false",
            "violations": _encode(entry["violations"]).decode(),
            "violationCount": str(entry["violationCount"]),
            "failures": _encode(entry["failures"]).decode(),
        },
    )
    operation = "/".join(part for part in (entry["operation"], entry["subresource"]) if part)
    known |= {
        "actor": {"user": {"name": entry["user"] or "unknown"}},
        "api": {
            "operation": operation or entry["action"],
            "service": {"name": "kspec webhook"},
            **({"request": {"uid": entry["uid"]}} if entry["uid"] else {}),
        },
        "src_endpoint": {"name": "kube-apiserver"},
        "resources": [
            {
                "name": resource["name"],
                "namespace": resource["namespace"],
                "type": resource["kind"],
            }
        ],
    }
    yield _encode(known)


FORMATS: dict[str, Format] = {"json": as_json, "ecs": as_ecs, "cef": as_cef, "ocsf": as_ocsf}


def _severity(violation: Record) -> int:
    return {"low": 3, "medium": 5, "high": 8, "critical": 10}[violation["severity"]]


def _message(entry: Record) -> str:
    parts = [violation["message"] for violation in entry["violations"][:5]]
    parts += [failure["what"] for failure in entry["failures"][:5]]
    resource = entry["resource"]
    return (
        f"{resource['kind']} {resource['namespace']}/{resource['name']} {entry['action']}: {'; '.join(parts)}"
    )
