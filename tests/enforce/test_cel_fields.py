"""What CEL cannot say of a field is listed with its reason; it is never said roughly."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pytest_kspec.enforce.engines import Wanted, vap, webhook
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.spec.loading import spec_from_part

CHECKSET = load_checks()


def generated(entry: Any, engine: Any = vap) -> Any:
    loaded = spec_from_part({"workloads": {"containers": {"required": [entry]}}})
    plan = enforcement_plan(loaded, CHECKSET, now=datetime(2026, 6, 1, tzinfo=UTC))
    return engine.generate(Wanted(plan, Mode.ENFORCE, "c"))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"key": "image", "pattern": r"\Qa.b\E.*"}, r"its pattern has \Q"),
        ({"key": "image", "anyOf": [{"value": "a"}, {"pattern": r"\Qa"}]}, r"its pattern has \Q"),
        (
            {"key": "securityContext.capabilities.add", "allowed": ["ünet"]},
            "CEL changes the case of ASCII letters only",
        ),
    ],
)
def test_not_said_in_cel(entry: dict[str, Any], reason: str) -> None:
    (left,) = generated(entry).not_enforceable
    assert left.requirement_id == f"workloads.containers.required[{entry['key']}]"
    assert reason in left.reason


def test_the_webhook_decides_it() -> None:
    assert generated({"key": "image", "pattern": r"\Qa.b\E.*"}, webhook).not_enforceable == ()
