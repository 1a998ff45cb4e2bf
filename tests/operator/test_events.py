"""Reasons of Events: users select by them, so each of them is in the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest_kspec.operator
from tests.cli.conftest import ROOT

MAKERS = {"Note": 1, "_new": 0}
"""What makes Events → where the reason stands."""


def reasons() -> Iterator[str]:
    for path in Path(pytest_kspec.operator.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                place = node.args[MAKERS[node.func.id]]
                for one in ast.walk(place):
                    if isinstance(one, ast.Constant) and re.fullmatch(r"[A-Z][A-Za-z]+", str(one.value)):
                        yield str(one.value)


def test_each_reason_is_documented() -> None:
    found = set(reasons())
    assert {"PolicyApplied", "DriftFight", "ComplianceRestored", "TargetReplaced"} <= found
    page = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    assert [one for one in sorted(found) if f"`{one}`" not in page] == []
