"""observability.metrics: providers found by what they serve."""

from typing import Any

import pytest

from builtin_checks.observability.test_metrics import test_metrics as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told, verdict


def run(providers: list[str], *objects: dict[str, Any], **options: Any) -> list[CheckResult]:
    spec = {"observability": {"metrics": {"required": True, "providers": providers}}}
    return evaluate(check, objects=objects, spec=spec, **options)


def api_service(available: str | None, group: str = "metrics.k8s.io") -> dict[str, Any]:
    conditions = [] if available is None else [{"type": "Available", "status": available}]
    spec = {"group": group, "version": "v1beta1"}
    name = f"v1beta1.{group}"
    return obj("apiregistration.k8s.io/v1", "APIService", name, spec=spec, status={"conditions": conditions})


def pod(
    name: str,
    image: str = "x",
    ns: str = "anywhere",
    ready: str | None = "True",
    phase: str = "Running",
    **labels: str,
) -> dict[str, Any]:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    renamed = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    raw = obj("v1", "Pod", name, ns, spec={"containers": [{"name": "main", "image": image}]}, labels=renamed)
    return raw | {"status": {"phase": phase, "conditions": conditions}}


def messages(results: list[CheckResult]) -> list[str]:
    return [message for _, _, _, message in told(results)]


def test_metrics_server_is_found_by_the_api_that_it_serves() -> None:
    assert verdict(run(["metrics-server"], api_service("True"))) == "pass"
    assert messages(run(["metrics-server"], api_service("False"))) == [
        "metrics provider metrics-server: APIService v1beta1.metrics.k8s.io is registered, but not available"
    ]
    assert messages(
        run(["metrics-server"], api_service("True", "custom.metrics.k8s.io"), pod("metrics-server-x"))
    ) == ["metrics provider metrics-server: not found: no APIService serves metrics.k8s.io"]


@pytest.mark.parametrize(
    "server",
    [
        pod("p-0", "quay.io/prometheus/prometheus:v3.1.0"),
        pod("p-0", "rancher/mirrored-prometheus-prometheus@sha256:0"),
        pod("p-0", app_kubernetes_io__name="prometheus"),
        pod("p-0", app="prometheus", component="server"),
        pod("p-0", app="prometheus", ready=None),
    ],
)
def test_prometheus_is_found_in_any_namespace(server: dict[str, Any]) -> None:
    assert verdict(run(["prometheus"], server)) == "pass"


@pytest.mark.parametrize(
    "other",
    [
        pod("prometheus-node-exporter-x", "quay.io/prometheus/node-exporter:v1"),
        pod("prometheus-operator-x", "quay.io/prometheus-operator/prometheus-operator:v0"),
        pod("p", "quay.io/prometheus/alertmanager", app="prometheus", component="alertmanager"),
    ],
)
def test_what_belongs_to_prometheus_is_not_prometheus(other: dict[str, Any]) -> None:
    assert told(run(["prometheus"], other)) == [
        ("cluster", "prometheus", "not found", "metrics provider prometheus: not found")
    ]


@pytest.mark.parametrize(
    "agent",
    [
        pod("datadog-agent-x7k2p"),
        pod("datadog"),
        pod("a", "gcr.io/datadoghq/datadog:7"),
        pod("a", k8s_app="x", app_kubernetes_io__part_of="x", app="datadog"),
    ],
)
def test_any_other_provider_is_found_by_image_label_or_part_of_the_name(agent: dict[str, Any]) -> None:
    assert verdict(run(["datadog"], agent)) == "pass"


@pytest.mark.parametrize("name", ["notdatadog-x", "datadogish", "x"])
def test_a_part_of_a_word_is_no_provider(name: str) -> None:
    assert verdict(run(["datadog"], pod(name))) == "fail"


def test_a_provider_that_does_not_run_is_a_finding_that_says_so() -> None:
    assert messages(run(["datadog"], pod("datadog-a", ready="False"), pod("datadog-b", phase="Pending"))) == [
        "metrics provider datadog: found (anywhere/datadog-a and 1 more), but no pod of it is ready"
    ]
    assert verdict(run(["datadog"], pod("datadog-a", ready="False"), pod("datadog-b"))) == "pass"


def test_a_service_without_selector_stands_for_a_provider_outside() -> None:
    outside = obj(
        "v1", "Service", "thanos", "m", spec={"type": "ExternalName", "externalName": "thanos.example"}
    )
    inside = obj("v1", "Service", "thanos", "m", spec={"selector": {"app": "thanos"}})
    assert verdict(run(["thanos"], outside)) == "pass"
    assert verdict(run(["thanos"], inside)) == "fail"


def test_every_provider_must_be_there_not_one_of_many() -> None:
    results = run(["metrics-server", "prometheus", "datadog"], pod("p", "prom/prometheus"))
    assert sorted(path for _, path, _, _ in told(results)) == ["datadog", "metrics-server"]
    assert results[0].examined == 4  # three providers, one object looked at


def test_without_providers_any_known_one_will_do() -> None:
    assert verdict(run([], api_service("True"))) == "pass"
    assert verdict(run([], pod("datadog-agent-x"))) == "pass"
    assert messages(run([], pod("web-x"))) == ["no known metrics provider is running"]


@pytest.mark.parametrize(("provider", "denied"), [("metrics-server", "apiservices"), ("datadog", "pods")])
def test_what_may_not_be_listed_is_an_error(provider: str, denied: str) -> None:
    assert verdict(run([provider], denied=[denied])) == "error"


def test_manifests_show_nothing_that_runs() -> None:
    assert verdict(run(["datadog"], pod("datadog"), kind="manifests", version="")) == "skip"


def test_not_required_is_not_asked() -> None:
    spec = {"observability": {"metrics": {"required": False, "providers": ["datadog"]}}}
    assert evaluate(check, spec=spec) == []
