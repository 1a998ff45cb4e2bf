"""Objects that the API server takes, and that mean nothing: said in a condition, and no other is worse for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kspec import clock

from .conftest import Specs
from .hubs import Hub, conditions

VERSION = {"kubernetes": {"minVersion": "1.29"}}


def period(**more: str) -> dict[str, Any]:
    return {**VERSION, "timeBasedActivation": {"enabled": True, "duration": "1h", **more}}


def registries(*names: str) -> dict[str, Any]:
    return {"workloads": {"images": {"allowedRegistries": list(names)}}}


SPECS = {
    "a minute that is none": (period(schedule="61 * * * *"), "'61 * * * *' is not a cron schedule"),
    "a day that never comes": (period(schedule="0 0 30 2 *"), "'0 0 30 2 *' is not a cron schedule"),
    "a path as a time zone": (
        period(schedule="* * * * *", timezone="../../etc/passwd"),
        "'../../etc/passwd' is not an IANA time zone",
    ),
    "a file as a time zone": (
        period(schedule="* * * * *", timezone="/etc/localtime"),
        "'/etc/localtime' is not an IANA time zone",
    ),
    "a regular expression": (registries("(a+)+$"), "'(a+)+$' is not a path segment"),
    "an open bracket": (registries("["), "'[' is not a path segment"),
    "a NUL": (registries("a\x00b"), r"'a\x00b' is not a path segment"),
    "a letter that turns the line around": (registries("\u202egro"), r"'\u202egro' is not a path segment"),
    "letters of another alphabet": (registries("r\u0435gistry.example.com"), "is not a registry"),
    "its own base": ({"policyInheritance": {"basePolicies": ["odd"]}}, "a cycle: <odd>"),
    "a path as a base": (
        {"policyInheritance": {"basePolicies": ["../../../etc/passwd"]}},
        "no specification has the name '../../../etc/passwd'",
    ),
    "a cluster that no ClusterTarget can name": (
        {"clusterRef": {"name": "prod_eu"}},
        "spec.clusterRef.name: 'prod_eu' cannot be the name of a ClusterTarget.",
    ),
    "a namespace that cannot be": (
        {"clusterRef": {"name": "prod", "namespace": "../x"}},
        "spec.clusterRef.namespace: '../x' cannot be the name of a namespace.",
    ),
    "an address as a base": (
        {"policyInheritance": {"basePolicies": ["https://example.com/x"]}},
        "no specification has the name 'https://example.com/x'",
    ),
}


@pytest.fixture
def hub(specs: Specs) -> Iterator[Hub]:
    made = Hub(specs)
    made.clear()
    yield made
    made.clear()


@pytest.mark.parametrize("what", SPECS)
def test_a_specification_that_means_nothing_says_why(what: str, hub: Hub) -> None:
    spec, words = SPECS[what]
    hub.specs.put("odd", spec)
    hub.specs.put("good", VERSION)
    for name in ("odd", "good"):
        hub.enforce(name)
    said = hub.specs.condition("odd")
    assert (said["status"], said["reason"]) == ("False", "InvalidSpecification")
    assert words in said["message"]
    assert all(letter.isprintable() or letter == "\n" for letter in said["message"])
    assert hub.specs.get("odd")["status"]["phase"] == "Failed"
    assert hub.specs.condition("good")["reason"] == "ReconciliationFailed", (
        "scanned, which is not tested here"
    )
    assert hub.specs.condition("good", "PolicyEnforced")["reason"] == "EnforcementDisabled"


def test_names_that_are_as_long_as_names_may_be(hub: Hub) -> None:
    name = "a" * 253
    enforced = {"podSecurity": {"enforce": "baseline"}, "enforcement": {"enabled": True, "mode": "audit"}}
    hub.specs.put(name, {**enforced, "namespaceScope": {"includeNamespaces": ["odd-nowhere"]}})
    hub.enforce(name)
    assert hub.specs.condition(name, "PolicyEnforced")["reason"] == "PoliciesDeployed"
    hub.specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", name)
    hub.enforce(name)
    assert hub.specs.writer.find("kspec.io/v1alpha1", "ClusterSpecification", name) is None


CONFIGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "six fields": ({"schedule": "* * * * * *"}, "InvalidConfiguration", "it has 6 fields instead of 5"),
    "a path as a time zone": (
        {"schedule": "* * * * *", "timezone": "../../etc/passwd"},
        "InvalidConfiguration",
        "'../../etc/passwd' is not an IANA time zone",
    ),
    "patterns that match nothing": (
        {"clusterSpecs": ["[", "(a+)+$", "\x00"]},
        "NotCompared",
        "no specification of",
    ),
    "another cluster": ({"clusters": ["nowhere"]}, "NotCompared", "no specification of"),
    "kinds that nobody serves": (
        {
            "types": ["Configuration"],
            "configuration": {"kinds": ["Nope", "*"], "snapshotRef": {"name": "x"}},
        },
        "NotCompared",
        "objects could not be compared: ConfigMap kspec-system/x: it does not exist.",
    ),
    "a time zone of the machine": (
        {"schedule": "0 0 * * *", "timezone": "localtime"},
        "InvalidConfiguration",
        "spec.timezone: 'localtime' is not an IANA time zone such as Europe/Berlin",
    ),
    "longer than a year": (
        {"interval": "20000h"},
        "InvalidConfiguration",
        "spec.interval: '20000h' is longer than a year",
    ),
    "a path as the key of a snapshot": (
        {
            "types": ["Configuration"],
            "configuration": {"kinds": ["Role"], "snapshotRef": {"name": "../x", "key": "../../k"}},
        },
        "NotCompared",
        "objects could not be compared: ",
    ),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_that_means_nothing_says_why(what: str, hub: Hub) -> None:
    spec, reason, words = CONFIGS[what]
    hub.specs.put("good", VERSION)
    hub.config("odd", spec)
    status = hub.run("odd")
    assert conditions(status)["Ready"][1] == reason
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert words in ready["message"]
    assert conditions(status)["DriftDetected"][0] == "Unknown"
    assert hub.reports() == []


@pytest.mark.parametrize("interval", ["0s", "1ms", "8784h"])
def test_intervals_are_kept_within_what_can_be(interval: str, hub: Hub) -> None:
    hub.specs.put("good", VERSION)
    hub.config("odd", {"interval": interval})
    hub.run("odd")
    with clock.at(hub.now):
        again = hub.controller.reconcile(("kspec-system", "odd"))
    assert again is not None
    assert 5 <= again <= 366 * 86400
