"""Reasons of Events: users select by them, so each of them is in the docs."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import pytest_kspec.operator
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.operator.events import MOST, write_events
from pytest_kspec.operator.status import Note
from tests.cli.conftest import ROOT

MAKERS = {"Note": 1, "of": 0}
"""What makes Events → where the reason stands."""


def reasons() -> Iterator[str]:
    for path in Path(pytest_kspec.operator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in MAKERS:
                place = node.args[MAKERS[name]]
                for one in ast.walk(place):
                    if isinstance(one, ast.Constant) and re.fullmatch(r"[A-Z][A-Za-z]+", str(one.value)):
                        yield str(one.value)


def test_each_reason_is_documented() -> None:
    found = set(reasons())
    assert {"PolicyApplied", "DriftFight", "ComplianceRestored", "TargetReplaced"} <= found
    page = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    assert [one for one in sorted(found) if f"`{one}`" not in page] == []


class Written:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def create(self, event: dict[str, Any], *, field_manager: str) -> None:
        self.reasons.append(event["reason"])


def test_many_changes_leave_room_for_what_is_wrong(caplog: pytest.LogCaptureFixture) -> None:
    writer = Written()
    applied = [Note("Normal", "PolicyApplied", str(number)) for number in range(MOST + 5)]
    notes = [*applied, Note("Warning", "DriftFight", "x"), Note("Normal", "ScanCompleted", "y")]
    with caplog.at_level(logging.INFO, "kspec.operator"):
        write_events(cast("Writer", writer), {"metadata": {"name": "s"}}, notes)
    assert writer.reasons == ["PolicyApplied"] * (MOST - 1) + ["DriftFight"]
    assert len(caplog.records) == len(notes), "the log has each"
