"""Formats of records: OCSF as its models read it, ECS and CEF by their rules, and no line that a name can forge."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.audit.record import (
    FORMATS,
    SEVERITIES,
    Outcome,
    Record,
    Type,
    as_cef,
    as_ecs,
    as_json,
    as_ocsf,
    make,
)
from tests.alerts.conftest import EVIL
from tests.audit.reading import read_cef, read_ecs, read_ocsf

TEXTS = st.text(max_size=50) | st.just(EVIL)
RECORDS = st.builds(
    make,
    st.sampled_from(Type),
    st.just("change"),
    st.sampled_from(get_args(Outcome)),
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
    data = read_ocsf(one(as_ocsf, entry))
    assert data["class_uid"] == (2003 if entry["type"] == Type.SCAN else 6003)
    assert data["metadata"]["product"]["vendor_name"] == "pytest-kspec"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_says_who_did_what_where_and_for_which_specification(form: str) -> None:
    said = {"actor": "jane", "cluster": "prod-eu", "cluster_id": "uid-1", "spec": "shop"}
    for kind in Type:
        made = make(kind, "acted", "failure", "because", resource="Thing a/b", details={"epoch": 7}, **said)
        line = one(FORMATS[form], made).decode()
        for text in (*said.values(), "acted", "because", *(["Thing a/b"] if kind != Type.SCAN else []), "7"):
            assert text in line, (kind, text)


@pytest.mark.parametrize(("outcome", "status"), [("success", 1), ("failure", 3), ("unknown", 2)])
def test_what_was_not_evaluated_is_no_pass(outcome: Outcome, status: int) -> None:
    data = json.loads(one(as_ocsf, make(Type.SCAN, "scan", outcome, "x")))
    assert data["compliance"]["status_id"] == status


@given(entry=RECORDS)
def test_cef_has_its_seven_fields_and_extensions(entry: Record) -> None:
    head, _, fields = read_cef(one(as_cef, entry))
    assert head[:2] == ["pytest-kspec", "kspec"]
    assert fields["outcome"] == entry["result"]


@given(entry=RECORDS)
def test_ecs_has_the_values_that_its_schema_allows(entry: Record) -> None:
    assert read_ecs(one(as_ecs, entry))["kspec"]["result"] == entry["result"]


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
