"""What a record of the audit log says, as plain data, and its formats: JSON, ECS, CEF and OCSF.

A record holds names and numbers, and no values of fields: those are in reports, which have their own readers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pytest_kspec import __version__, clock
from pytest_kspec.errors import without_credentials
from pytest_kspec.shown import inert, printable

Record = dict[str, Any]
Format = Callable[[Record], Iterable[bytes]]
"""Lines without their ends."""

LONGEST = 1000


class Type(StrEnum):
    """What happened: the words of v0.3, and those it did not have."""

    SCAN = "compliance_scan"
    ENFORCEMENT = "enforcement"
    REMEDIATION = "remediation"
    EXEMPTION = "exemption"
    CREDENTIAL = "credential_access"
    LEADERSHIP = "leadership"


Outcome = Literal["success", "failure", "partial", "unknown"]
SEVERITIES = ("info", "warning", "error", "critical")


def make(
    kind: Type,
    action: str,
    outcome: Outcome,
    message: str,
    *,
    severity: str = "info",
    actor: str = "",
    cluster: str = "",
    cluster_id: str = "",
    spec: str = "",
    resource: str = "",
    details: Mapping[str, Any] | None = None,
) -> Record:
    """A record of now. Text is one line each, cut, and without credentials."""
    return {
        "time": clock.now().isoformat(timespec="milliseconds"),
        "type": kind.value,
        "severity": severity,
        "actor": text(actor),
        "action": action,
        "result": outcome,
        "resource": {
            "name": text(resource),
            "cluster_name": text(cluster),
            "cluster_uid": text(cluster_id),
            "cluster_spec": text(spec),
        },
        "message": text(message),
        "metadata": {
            name: text(value) if isinstance(value, str) else value for name, value in (details or {}).items()
        },
    }


def text(value: str) -> str:
    """One line, cut, without credentials."""
    return printable(without_credentials(" ".join(value.split())))[:LONGEST]


def as_json(entry: Record) -> Iterable[bytes]:
    """The record itself, with v0.3's keys."""
    yield _encode(entry)


_CATEGORIES = {
    Type.SCAN: ("configuration", "info"),
    Type.ENFORCEMENT: ("configuration", "change"),
    Type.REMEDIATION: ("configuration", "change"),
    Type.EXEMPTION: ("configuration", "info"),
    Type.CREDENTIAL: ("iam", "info"),
    Type.LEADERSHIP: ("process", "change"),
}
_OUTCOMES_OF_ECS = {"success": "success", "failure": "failure"}


def as_ecs(entry: Record) -> Iterable[bytes]:
    """Elastic Common Schema 8.11; what it has no field for is under `kspec`."""
    category, kind = _CATEGORIES[Type(entry["type"])]
    resource = entry["resource"]
    yield _encode(
        {
            "@timestamp": entry["time"],
            "ecs": {"version": "8.11.0"},
            "message": entry["message"],
            "event": {
                "kind": "event",
                "category": [category],
                "type": [kind],
                "action": f"{entry['type']}-{entry['action']}",
                "outcome": _OUTCOMES_OF_ECS.get(entry["result"], "unknown"),
                "provider": "pytest-kspec",
                "module": "kspec",
                "dataset": f"kspec.{entry['type']}",
                "severity": SEVERITIES.index(entry["severity"]),
            },
            "user": {"name": entry["actor"]},
            "rule": {"ruleset": resource["cluster_spec"]},
            "orchestrator": {
                "type": "kubernetes",
                "cluster": {"name": resource["cluster_name"], "id": resource["cluster_uid"]},
                "resource": {"name": resource["name"]},
            },
            "kspec": {"result": entry["result"], "details": _flat(entry["metadata"])},
        }
    )


_LONGEST_OF_CEF = {"act": 63, "suser": 1023, "externalId": 40, "msg": 1023}
_LONGEST_CUSTOM_OF_CEF = 4000  # cs1 to cs6
"""Characters of a value, by the extension dictionary of CEF; a receiver cuts or drops what is longer."""
_SEVERITIES_OF_CEF = {"info": 3, "warning": 6, "error": 8, "critical": 10}


def as_cef(entry: Record) -> Iterable[bytes]:
    """ArcSight Common Event Format, version 0."""
    resource = entry["resource"]
    fields = {
        "rt": str(round(datetime.fromisoformat(entry["time"]).timestamp() * 1000)),
        "act": entry["action"],
        "outcome": entry["result"],
        "suser": entry["actor"],
        "msg": entry["message"],
        "cs1Label": "resource",
        "cs1": resource["name"],
        "cs2Label": "cluster",
        "cs2": resource["cluster_name"],
        "cs3Label": "policy",
        "cs3": resource["cluster_spec"],
        "cs4Label": "clusterUID",
        "cs4": resource["cluster_uid"],
        "cs5Label": "details",
        "cs5": json.dumps(_flat(entry["metadata"]), separators=(",", ":")) if entry["metadata"] else "",
    }
    name = entry["message"][:128] or entry["type"]
    yield cef("kspec", entry["type"], name, _SEVERITIES_OF_CEF[entry["severity"]], fields)


def cef(product: str, identity: str, name: str, severity: int, fields: Mapping[str, str]) -> bytes:
    """One line. severity: 0 to 10; fields: of the extension, the empty ones are left out, long ones are cut."""
    # A header is one line: only values of the extension may say where a line ends.
    parts = ("pytest-kspec", product, __version__, identity, name)
    head = "|".join(escape(printable(" ".join(part.split())), "|") for part in parts)
    chosen = {name: value for name, value in fields.items() if value}
    shown = " ".join(
        # What a terminal would obey is shown before the format's own escapes: a bare backslash is none of them.
        f"{name}={escape(_cut(inert(value), _LONGEST_OF_CEF.get(name, _LONGEST_CUSTOM_OF_CEF)), '=')}"
        for name, value in chosen.items()
        if not name.endswith("Label") or name.removesuffix("Label") in chosen
    )
    return f"CEF:0|{head}|{severity}|{shown}".encode("utf-8", "backslashreplace")


def _cut(value: str, longest: int) -> str:
    return value if len(value) <= longest else value[: longest - 1] + "…"


def escape(text: str, special: str) -> str:
    """A value of CEF: `special` is the character that ends one."""
    text = text.replace("\\", "\\\\").replace(special, f"\\{special}")
    return text.replace("\r", "\\r").replace("\n", "\\n")


_SEVERITIES_OF_OCSF = {"info": 1, "warning": 3, "error": 4, "critical": 5}
_STATUSES = {"success": 1, "failure": 2}
_COMPLIANCE = {"success": 1, "partial": 2, "unknown": 2, "failure": 3}
_UPDATES = (Type.ENFORCEMENT, Type.REMEDIATION, Type.LEADERSHIP)


def as_ocsf(entry: Record) -> Iterable[bytes]:
    """OCSF: a scan is a Compliance Finding (2003), all else is API Activity (6003)."""
    resource, moment = entry["resource"], datetime.fromisoformat(entry["time"])
    is_scan = entry["type"] == Type.SCAN
    activity = 1 if is_scan else (3 if Type(entry["type"]) in _UPDATES else 2)
    known = ocsf(
        2003 if is_scan else 6003,
        activity,
        moment,
        entry["message"],
        _SEVERITIES_OF_OCSF[entry["severity"]],
        99 if is_scan else _STATUSES.get(entry["result"], 0),
        f"{entry['type']}.{entry['action']}",
        {
            "result": entry["result"],
            "actor": entry["actor"],
            **{key: value for key, value in resource.items() if value and key != "name"},
            **_flat(entry["metadata"]),
        },
    )
    about = {
        "name": resource["name"] or resource["cluster_name"],
        "uid": resource["cluster_uid"],
        "type": _type(entry) if resource["name"] else "Cluster",
    }
    if is_scan:
        uid = f"{resource['cluster_uid']}/{resource['cluster_spec']}"
        known |= {
            "status": entry["result"],
            "finding_info": {"uid": uid, "title": entry["message"] or uid},
            "compliance": {
                "standards": [resource["cluster_spec"]],
                "status_id": _COMPLIANCE[entry["result"]],
            },
            "resources": [about],
        }
    else:
        known |= {
            "actor": {"user": {"name": entry["actor"] or "kspec"}},
            "api": {"operation": entry["action"], "service": {"name": "kspec"}},
            "src_endpoint": {"name": entry["actor"].rpartition("@")[2] or "kspec"},
            "resources": [about],
        }
    yield _encode(known)


def _type(entry: Record) -> str:
    """What the resource of a record is: objects are named as in `Lease kspec-system/lock`."""
    named: dict[str, str] = {Type.EXEMPTION: "Exemption", Type.CREDENTIAL: "Secret"}
    return named.get(entry["type"]) or str(entry["resource"]["name"]).partition(" ")[0]


def ocsf(
    class_uid: int,
    activity: int,
    moment: datetime,
    message: str,
    severity: int,
    status: int,
    code: str,
    unmapped: Mapping[str, str],
) -> dict[str, Any]:
    """What every event of OCSF has; numbers are those of its schema. unmapped: what it has no field for."""
    return {
        "activity_id": activity,
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity,
        "time": round(moment.timestamp() * 1000),
        "message": message,
        "severity_id": severity,
        "status_id": status,
        "metadata": {
            "version": "1.5.0",
            "product": {"name": "pytest-kspec", "vendor_name": "pytest-kspec", "version": __version__},
            "event_code": code,
        },
        "unmapped": dict(unmapped),
    }


FORMATS: dict[str, Format] = {"json": as_json, "ecs": as_ecs, "cef": as_cef, "ocsf": as_ocsf}


def _flat(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Text, whatever it was: an index has one type a field."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}


def _encode(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
