"""Lines of a log as text and as JSON, and problems that are said once."""

from __future__ import annotations

import json
import logging

import pytest

from pytest_kspec.audit.loglines import AGAIN_S, JsonLines, Once, OperatorLines, fields, stamp
from tests.test_shown import PAYLOADS, obeyed

MOMENT = 1_796_000_000.123456


def record(level: int, text: str, *arguments: object, **known: object) -> logging.LogRecord:
    made = logging.getLogger("kspec.operator").makeRecord(
        "kspec.operator", level, __file__, 1, text, arguments, None, extra=fields(**known)
    )
    made.created = MOMENT
    return made


def test_text_has_the_fields_behind_the_message() -> None:
    line = OperatorLines().format(
        record(logging.INFO, "scan ended", spec="prod", score=87, none=None, why="a b")
    )
    assert line == '2026-11-30T00:53:20.123Z INFO kspec.operator: scan ended spec=prod score=87 why="a b"'


def test_json_is_one_object_a_line_in_the_words_of_zap() -> None:
    made = record(logging.WARNING, "%s: failed", "prod", again_s=3, msg="no", ok=True)
    assert json.loads(JsonLines("millis").format(made)) == {
        "level": "warn",
        "ts": 1796000000123,
        "logger": "kspec.operator",
        "msg": "prod: failed",
        "again_s": 3,
        "ok": True,
    }


def test_a_fault_has_its_stack_in_the_same_object() -> None:
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError as error:
        made = record(logging.ERROR, "unforeseen")
        made.exc_info = (type(error), error, error.__traceback__)
    assert "ZeroDivisionError: x" in json.loads(JsonLines().format(made))["stacktrace"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_names_are_escaped_in_messages_and_fields(payload: str) -> None:
    made = record(logging.INFO, "%s", payload, name=payload)
    for line in (OperatorLines().format(made), JsonLines().format(made)):
        assert "\n" not in line
        assert obeyed(line) == []
    found = json.loads(JsonLines().format(made))
    assert (found["msg"], found["name"]) == (payload, payload)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("rfc3339", "2026-11-30T00:53:20.123Z"),
        ("iso8601", "2026-11-30T00:53:20.123Z"),
        ("rfc3339nano", "2026-11-30T00:53:20.123456Z"),
        ("epoch", 1796000000.123456),
        ("millis", 1796000000123),
    ],
)
def test_times(encoding: str, expected: object) -> None:
    assert stamp(MOMENT, encoding) == expected


def test_a_problem_is_said_once_and_again_with_how_often_it_was_not() -> None:
    now = 0.0
    once = Once(lambda: now)

    def passes(level: int, text: str) -> logging.LogRecord | None:
        made = record(level, text)
        return made if once.filter(made) else None

    assert passes(logging.WARNING, "down")
    for _ in range(3):
        now += 10
        assert not passes(logging.WARNING, "down")
        assert passes(logging.WARNING, f"another {now}")
        assert passes(logging.INFO, "scan started"), "what is no problem is said each time"
        assert once.filter(record(logging.WARNING, "DriftDetected", name=f"spec-{now}")), "of another object"
    assert once.filter(record(logging.WARNING, "refused", again_s=1))
    assert not once.filter(record(logging.WARNING, "refused", again_s=2))
    now += AGAIN_S
    again = passes(logging.WARNING, "down")
    assert again is not None
    assert OperatorLines().format(again).endswith("down repeated=3")
    for number in range(3000):
        assert passes(logging.WARNING, f"flood {number}")
    assert len(once._said) <= 1000
