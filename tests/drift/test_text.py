"""How differences are printed: a sentence that says why keeps its middle, and no line is wider than the terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pytest_kspec.cli.commands.drift_steps import event_lines
from pytest_kspec.drift.events import Action, DriftEvent, DriftKind, DriftType, Remediation, Status
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.verdict import Severity

STAMP = "2026-01-01T12:00:00Z"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
WHY = (
    "not corrected: it was corrected 3 times within an hour, and changed again by kubectl-patch each time. "
    "Find out which client changes it, and stop this first."
)


def printed(details: str, name: str = "kspec-prod-pods") -> list[str]:
    policy = ResourceRef("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "", name)
    done = Remediation(Action.MANUAL, Status.MANUAL, STAMP, details=details)
    text = f"ValidatingAdmissionPolicy {name} does not exist."
    event = DriftEvent(
        DriftType.POLICY, DriftKind.MISSING, Severity.HIGH, policy, text, STAMP, remediation=done
    )
    return list(event_lines([event], NOW, stamp="  ", plain=True))


@pytest.fixture(autouse=True)
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_reason_is_printed_in_full() -> None:
    lines = printed(WHY)
    assert max(map(len, lines)) <= 80
    assert WHY in " ".join(line.strip() for line in lines)


def test_names_and_reasons_without_an_end_are_bounded() -> None:
    lines = printed("because " * 1000, "a" * 253)
    assert max(map(len, lines)) <= 80
    assert len(lines) < 20
    lines = printed("one\nsecond line\x1b[31m")
    assert not any("\x1b" in line or "\n" in line for line in lines)
