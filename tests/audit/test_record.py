"""Formats of records: OCSF as its models read it, ECS and CEF by their rules, and no line that a name can forge."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_ocsf_models.events.base_event import BaseEvent
from py_ocsf_models.events.findings.compliance_finding import ComplianceFinding

from pytest_kspec.audit.record import (
    FORMATS,
    OUTCOMES,
    SEVERITIES,
    Record,
    Type,
    as_cef,
    as_ecs,
    as_json,
    as_ocsf,
    make,
)
from tests.alerts.conftest import EVIL

TEXTS = st.text(max_size=50) | st.just(EVIL)
RECORDS = st.builds(
    make,
    st.sampled_from(Type),
    st.just("change"),
    st.sampled_from(OUTCOMES),
    TEXTS,
    severity=st.sampled_from(SEVERITIES),
    actor=TEXTS,
    cluster=TEXTS,
    cluster_id=TEXTS,
    spec=TEXTS,
    resource=TEXTS,
    details=st.dictionaries(st.sampled_from(["a", "b"]), TEXTS | st.integers() | st.none(), max_size=2),
)


def one(form: Any, entry: Record) -> bytes:
    (line,) = form(entry)
    return bytes(line)


@given(entry=RECORDS)
def test_every_format_is_one_line_that_terminals_and_logs_do_not_obey(entry: Record) -> None:
    for form in FORMATS.values():
        line = one(form, entry)
        text = line.decode("utf-8")
        assert text.splitlines() == [text]
        assert "\x1b" not in text
        assert "\u202e" not in text


@given(entry=RECORDS)
def test_ocsf_is_read_by_its_models(entry: Record) -> None:
    data = json.loads(one(as_ocsf, entry))
    assert data["type_uid"] == data["class_uid"] * 100 + data["activity_id"]
    if entry["type"] == Type.SCAN:
        found = ComplianceFinding.model_validate(data)
        assert found.compliance.status_id is not None
        assert (found.class_uid, found.metadata.product.vendor_name) == (2003, "pytest-kspec")
    else:
        BaseEvent.model_validate(data)
        assert (data["class_uid"], data["category_uid"]) == (6003, 6)
        # What the class API Activity requires beside the base event.
        assert data["actor"]["user"]["name"]
        assert data["api"]["operation"]
        assert data["src_endpoint"]["name"]


@pytest.mark.parametrize(("outcome", "status"), [("success", 1), ("failure", 3), ("unknown", 2)])
def test_what_was_not_evaluated_is_no_pass(outcome: str, status: int) -> None:
    data = json.loads(one(as_ocsf, make(Type.SCAN, "scan", outcome, "x")))
    assert data["compliance"]["status_id"] == status


@given(entry=RECORDS)
def test_cef_has_its_seven_fields_and_extensions(entry: Record) -> None:
    head, *_ = re.split(r"(?<!\\)(?:\\\\)*\|rt=", one(as_cef, entry).decode())
    fields = re.split(r"(?<!\\)\|", head)
    assert (fields[0], len(fields)) == ("CEF:0", 7)
    assert 0 <= int(fields[6]) <= 10


def test_ecs_has_the_fields_of_its_schema() -> None:
    entry = make(
        Type.LEADERSHIP, "acquired", "success", "a leads", actor="j.doe@host", cluster="prod", cluster_id="u"
    )
    data = json.loads(one(as_ecs, entry))
    assert data["ecs"]["version"] == "8.11.0"
    assert data["event"] | {} == {
        "kind": "event",
        "category": ["process"],
        "type": ["change"],
        "action": "leadership-acquired",
        "outcome": "success",
        "provider": "pytest-kspec",
        "module": "kspec",
        "dataset": "kspec.leadership",
        "severity": 0,
    }
    assert data["orchestrator"]["cluster"] == {"name": "prod", "id": "u"}


def test_json_has_the_keys_of_v03_and_no_credentials() -> None:
    entry = make(Type.CREDENTIAL, "read", "failure", "password=hunter2 for https://u:hunter2@h/", actor="ci")
    line = one(as_json, entry)
    assert b"hunter2" not in line
    assert list(json.loads(line)) == [
        *("time", "type", "severity", "actor", "action", "result", "resource", "message", "metadata")
    ]
