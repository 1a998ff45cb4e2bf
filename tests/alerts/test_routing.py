"""Who hears of what: routes, severities, events, and configurations that cannot be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.alerts.configfile import load_config
from pytest_kspec.alerts.routing import Plan
from pytest_kspec.errors import SpecError
from tests.alerts.conftest import config_file, firing, plan

HOOKS = [{"name": name, "url": "https://x.example"} for name in ("a", "b", "c")]


def heard(to: Plan, **more: Any) -> str:
    return "".join(route.name for route in to.receivers if route.wants(firing(**more)))


def test_the_first_route_that_matches_is_used_unless_it_continues() -> None:
    routes = [
        {"match": {"cluster": "prod-*"}, "severities": ["critical"], "notifiers": ["a"], "continue": True},
        {"match": {"cluster": "prod-*"}, "notifiers": ["b"]},
        {"notifiers": ["c"]},
    ]
    to = plan(webhooks=HOOKS, routes=routes)
    assert heard(to, level="critical") == "ab"
    assert heard(to, level="warning") == "b"
    assert heard(to, cluster="dev", level="critical") == "c"


def test_an_alert_that_no_route_matches_is_not_sent_and_without_routes_all_are() -> None:
    assert heard(plan(webhooks=HOOKS, routes=[{"match": {"severity": "info"}, "notifiers": ["a"]}])) == ""
    assert heard(plan(webhooks=HOOKS)) == "abc"


def test_a_label_that_an_alert_does_not_have_matches_nothing() -> None:
    assert heard(plan(webhooks=HOOKS, routes=[{"match": {"team": "*"}, "notifiers": ["a"]}])) == ""


def test_severities_and_events_of_a_notifier() -> None:
    critical = {**HOOKS[0], "minSeverity": "critical"}
    ends = {**HOOKS[1], "events": ["ComplianceRestored"]}
    drift = {**HOOKS[2], "events": ["DriftDetected"]}
    to = plan(webhooks=[critical, ends, drift])
    assert heard(to, level="warning") == "b"
    assert heard(to, level="critical") == "ab"
    assert heard(to, level="critical", event="DriftDetected") == "ac"


def test_an_alert_without_a_severity_has_that_of_the_configuration() -> None:
    hook = {**HOOKS[0], "minSeverity": "critical"}
    assert heard(plan(webhooks=[hook]), level=None) == ""
    assert heard(plan(webhooks=[hook], defaultSeverity="critical"), level=None) == "a"


def test_what_is_disabled_is_not_told_and_may_be_named() -> None:
    slack = {"enabled": False}
    to = plan(slack=slack, webhooks=HOOKS[:1], routes=[{"notifiers": ["slack", "a"]}])
    assert heard(to) == "a"
    assert plan(webhooks=HOOKS, enabled=False).receivers == ()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "there is no notifier"),
        (
            {"webhooks": HOOKS, "routes": [{"notifiers": ["pager"]}]},
            "'pager' is not a notifier; the notifiers are: a, b, c",
        ),
        ({"webhooks": [HOOKS[0], HOOKS[0]]}, "two notifiers have the name 'a'"),
        ({"webhooks": [{**HOOKS[0], "events": ["Compliance"]}]}, "'Compliance' is not an event"),
        ({"webhooks": [{**HOOKS[0], "template": '{"a": {{ title }}}'}]}, "it is not JSON"),
        (
            {"webhooks": [{**HOOKS[0], "headers": {"X-A": "a\r\nHost: evil"}}]},
            "is not a header that can be sent",
        ),
        ({"webhooks": [{**HOOKS[0], "headers": {"X A": "a"}}]}, "is not a header that can be sent"),
        (
            {"alertmanager": {"url": "http://am:9093"}, "repeatInterval": "25h"},
            "spec.alertmanager.resolveAfter (25h) must be longer than spec.repeatInterval (25h)",
        ),
    ],
)
def test_a_configuration_that_cannot_be_right_is_an_error(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        plan(**spec)
    assert said in str(caught.value)


def test_a_file_names_the_place_of_each_problem(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(
        "apiVersion: kspec.io/v1alpha1\nkind: AlertConfig\nmetadata: {name: x}\nspec:\n  slak: {}\n"
        "  email:\n    host: h\n    from: a\n    to: [b@example.com]\n"
    )
    with pytest.raises(SpecError) as caught:
        load_config(path)
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0].removeprefix(str(path)) for line in lines] == [":5:3", ":8:11"]


def test_the_sample_of_the_custom_resource_is_read() -> None:
    found = load_config(Path(__file__).parents[2] / "examples" / "custom-resources" / "alertconfig.yaml")
    assert [route.name for route in found.receivers] == ["slack", "pager"]


def test_an_object_as_a_cluster_returns_it_is_read(tmp_path: Path) -> None:
    path = config_file(tmp_path, webhooks=HOOKS[:1])
    path.write_text(path.read_text() + "status: {alertsSent: 3}\n")
    assert load_config(path).name == "alerts"
