from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.alerts.alert import Alert, Fact, Level
from pytest_kspec.alerts.ledger import Notification, stamp
from pytest_kspec.alerts.observe import Observation
from pytest_kspec.alerts.routing import Plan, make_plan
from pytest_kspec.crds.models.alertconfig import AlertConfigSpec
from tests.alerts.receiving import HttpReceiver, http_receiver


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        yield made


def plan(name: str = "ci", **spec: Any) -> Plan:
    return make_plan(name, AlertConfigSpec.model_validate(spec))


def config_file(folder: Path, name: str = "alerts.yaml", **spec: Any) -> Path:
    path = folder / name
    head = {"apiVersion": "kspec.io/v1alpha1", "kind": "AlertConfig", "metadata": {"name": Path(name).stem}}
    path.write_text(yaml.safe_dump({**head, "spec": spec}))
    return path


NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
EVIL = (
    "<!channel> <https://evil.example|click> *b* _i_ `c` <script>alert(1)</script> \r\nBcc: x@evil.example\r\n"
    '"},"x":{"a":"b {{7*7}} \x1b[31m\u202e ::add-mask::x ##vso[task] & \ud800'
)


def alert(
    about: str = "images", *, cluster: str = "prod-eu", level: str | None = "warning", **more: Any
) -> Alert:
    cluster_id = more.pop("cluster_id", f"uid-{cluster}")
    event = more.pop("event", "ComplianceFailure")
    labels = {"cluster": cluster, "cluster_uid": cluster_id, "spec": "strict"}
    if about:
        labels["check"] = about
    return Alert(
        event,
        Level(level) if level else None,
        cluster,
        cluster_id,
        "strict",
        about,
        more.pop("title", f"{about} is not met on {cluster}"),
        more.pop("description", "Pod a/b: spec.x is 1"),
        labels,
        {"findings": 2, "score": 81.5},
        frozenset(more.pop("members", ())),
        more.pop("count", 0),
    )


def seen(*alerts: Alert, at: datetime = NOW, cluster: str = "prod-eu", **more: Any) -> Observation:
    cluster_id = more.pop("cluster_id", f"uid-{cluster}")
    return Observation(cluster, cluster_id, "strict", stamp(at), alerts, more.pop("unknown", frozenset()))


def notification(*facts: Fact, receiver: str = "hook", left: int = 0) -> Notification:
    firing = tuple(fact for fact in facts if not fact.resolved_at)
    ended = tuple(fact for fact in facts if fact.resolved_at)
    return Notification(receiver, "k" * 32, {}, firing, ended, stamp(NOW), left)


def firing(**more: Any) -> Fact:
    return Fact(alert(**more), stamp(NOW))


def resolved(**more: Any) -> Fact:
    return Fact(alert(**more), stamp(NOW), 0, stamp(NOW + timedelta(minutes=5)))
