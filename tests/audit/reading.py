"""Lines of audit logs as their receivers read them: OCSF by its models, ECS and CEF by their rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from py_ocsf_models.events.base_event import BaseEvent
from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding

# The Elastic Common Schema 8.11: allowed values of its categorization fields, and the types expected of each category.
ECS_KINDS = {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"}
ECS_TYPES = {
    "api": {
        "access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user",
    },
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "process": {"access", "change", "end", "info", "start"},
}  # fmt: skip
ECS_OUTCOMES = {"success", "failure", "unknown"}

# A reader of CEF by its rules: seven pipes that are not escaped end the header; an unescaped = ends a key.
_HEADER = re.compile(r"CEF:0((?:\|(?:[^|\\\n\r]|\\[|\\])*){5})\|(\d{1,2})\|(.*)", re.DOTALL)
_FIELD = re.compile(r"(\w+)=((?:[^=\\\n\r]|\\[=\\nr])*?)(?= \w+=|$)")


def read_cef(line: bytes) -> tuple[list[str], int, dict[str, str]]:
    """Header without its version, severity, fields."""
    header = _HEADER.fullmatch(line.decode())
    assert header, line
    fields = _FIELD.findall(header[3])
    assert " ".join(f"{key}={value}" for key, value in fields) == header[3]
    assert 0 <= int(header[2]) <= 10
    return header[1].split("|")[1:], int(header[2]), dict(fields)


def read_ecs(line: bytes) -> dict[str, Any]:
    """The document."""
    data: dict[str, Any] = json.loads(line)
    event = data["event"]
    assert data["ecs"]["version"] == "8.11.0"
    assert event["kind"] in ECS_KINDS
    (category,) = event["category"]
    assert set(event["type"]) <= ECS_TYPES[category]
    assert event["outcome"] in ECS_OUTCOMES
    assert isinstance(event["severity"], int)
    return data


def read_ocsf(line: bytes) -> dict[str, Any]:
    """The event, as the models accept it. They have the base of API Activity only: the rest is compared here."""
    data: dict[str, Any] = json.loads(line)
    assert data["type_uid"] == data["class_uid"] * 100 + data["activity_id"]
    assert data["category_uid"] == data["class_uid"] // 1000
    if data["class_uid"] == 2003:
        ComplianceFinding.model_validate(data)
        return data
    BaseEvent.model_validate(data)
    assert data["class_uid"] == 6003
    assert data["activity_id"] in (0, 1, 2, 3, 4, 99)
    # What the class requires beside the base event.
    assert data["actor"]["user"]["name"]
    assert data["api"]["operation"]
    assert data["src_endpoint"]["name"]
    assert all(isinstance(value, str) for value in data["unmapped"].values())
    return data


READERS: dict[str, Callable[[bytes], Any]] = {
    "json": json.loads,
    "ecs": read_ecs,
    "cef": read_cef,
    "ocsf": read_ocsf,
}
