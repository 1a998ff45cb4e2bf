"""A test alert and its end, to see whether receivers take them. It has a key of its own and touches nothing else."""

from __future__ import annotations

import secrets as random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pytest_kspec.alerts.alert import Alert, Fact, Level
from pytest_kspec.alerts.deliver import Delivered, deliver_all
from pytest_kspec.alerts.guard import Guard
from pytest_kspec.alerts.ledger import Notification, stamp
from pytest_kspec.alerts.routing import Plan
from pytest_kspec.alerts.secrets import Secrets

EVENT = "ComplianceFailure"


def try_out(
    plan: Plan, receivers: Sequence[str], secrets: Secrets, guard: Guard, within_s: float
) -> list[Delivered]:
    """Send both to each; where the first is not taken, the second is not sent."""
    moment = stamp(datetime.now(UTC))
    key = random.token_hex(16)
    fact = Fact(
        Alert(
            EVENT,
            Level.INFO,
            "test",
            f"test-{key[:8]}",
            "test",
            "",
            "Test alert of kspec",
            "Sent by 'kspec alert test'. Nothing is wrong.",
            {"cluster": "test", "spec": "test"},
        ),
        moment,
    )
    messages = [Notification(name, key, {}, (fact,), (), moment) for name in receivers]
    sent = deliver_all(messages, plan, secrets, guard, within_s=within_s / 2, on_delivered=lambda _: None)
    ended = replace(fact, resolved_at=moment)
    ends = [replace(one.made, firing=(), resolved=(ended,)) for one in sent if not one.problem]
    return sent + deliver_all(ends, plan, secrets, guard, within_s=within_s / 2, on_delivered=lambda _: None)
