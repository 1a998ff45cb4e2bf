"""The manifests of config/ state what the code states, and meet what we ask of others."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from pytest_kspec.cli.arguments import Parser
from pytest_kspec.cli.commands import operator as command
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema import definitions
from pytest_kspec.enforce import webhook_install as install
from pytest_kspec.enforce.engines import webhook, webhook_client
from pytest_kspec.operator import lease
from pytest_kspec.operator.controller import Given
from pytest_kspec.operator.kinds import controllers
from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.reconcile import Settings
from tests.cli.conftest import Kspec
from tests.crds.conftest import Cluster
from tests.docs.pages import ROOT, Page
from tests.operator import conftest
from tests.operator.conftest import CONFIG, built

LABELS = {"app.kubernetes.io/name": "kspec-operator", "app.kubernetes.io/component": "operator"}


@pytest.fixture(scope="module")
def objects() -> dict[tuple[str, str, str], dict[str, Any]]:
    made = {}
    for one in built():
        metadata = one["metadata"]
        made[one["kind"], metadata.get("namespace", ""), metadata["name"]] = one
    return made


Objects = dict[tuple[str, str, str], dict[str, Any]]


def test_names_are_those_that_users_know(objects: Objects) -> None:
    kinds = {(kind, name) for kind, namespace, name in objects if kind != "CustomResourceDefinition"}
    assert kinds == {
        ("Namespace", NAMESPACE),
        *((kind, "kspec-operator") for kind in ("ServiceAccount", "Deployment", "PodDisruptionBudget")),
        *((kind, "kspec-operator") for kind in ("NetworkPolicy", "Role", "RoleBinding")),
        *(("ClusterRole", name) for name in ("kspec-operator", "kspec-scanner", "kspec-enforcer")),
        ("ClusterRole", "kspec-remediator"),
        *((kind, "kspec-enforcer") for kind in ("Role", "RoleBinding")),
        ("RoleBinding", "kspec-remediator"),
        ("ClusterRoleBinding", "kspec-operator"),
        ("ClusterRoleBinding", "kspec-operator-scanner"),
        ("ClusterRoleBinding", "kspec-operator-enforcer"),
        *((kind, "kspec-operator-metrics") for kind in ("ClusterRole", "ClusterRoleBinding")),
        ("ClusterRole", "kspec-metrics-reader"),
        ("Service", "kspec-metrics"),
    }
    assert {namespace for _, namespace, _ in objects} == {"", NAMESPACE, "default"}


def test_kinds_are_those_of_the_code() -> None:
    made = definitions.to_yaml([definitions.manifest(one) for one in definitions.DEFINITIONS])
    path = CONFIG / "crd" / "kspec.io.yaml"
    assert path.read_text(encoding="utf-8") == made, f"run: kspec crds > {path.relative_to(ROOT)}"


def test_the_deployment_starts_the_operator_as_it_can_be_started(objects: Objects) -> None:
    deployment = objects["Deployment", NAMESPACE, "kspec-operator"]["spec"]
    assert deployment["replicas"] == 3
    assert deployment["selector"]["matchLabels"] == LABELS == deployment["template"]["metadata"]["labels"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["command"] == ["kspec", "operator"]
    parser = Parser("operator", description="", examples="")
    command.add_arguments(parser)
    args = parser.parse_args(container["args"])
    assert args.leader_elect is True
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert args.metrics_bind_address == f":{ports['metrics']}"
    assert args.health_probe_bind_address == f":{ports['health']}"
    annotations = deployment["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["metrics"])
    assert deployment["template"]["spec"]["serviceAccountName"] == "kspec-operator"
    for kind, name, selector in (
        ("PodDisruptionBudget", "kspec-operator", lambda spec: spec["selector"]["matchLabels"]),
        ("Service", "kspec-metrics", lambda spec: spec["selector"]),
        ("NetworkPolicy", "kspec-operator", lambda spec: spec["podSelector"]["matchLabels"]),
    ):
        assert selector(objects[kind, NAMESPACE, name]["spec"]) == LABELS


def key(one: dict[str, Any]) -> tuple[str, str, str]:
    return one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]


@pytest.mark.parametrize(
    ("folder", "files"),
    [("scan-only", ("enforcer", "remediator")), ("without-remediation", ("remediator",))],
)
def test_a_right_that_is_left_out_is_all_that_differs(folder: str, files: tuple[str, ...]) -> None:
    texts = [(CONFIG / "rbac" / f"{name}.yaml").read_text(encoding="utf-8") for name in files]
    left_out = [key(one) for text in texts for one in yaml.safe_load_all(text)]
    assert built(folder) == [one for one in built() if key(one) not in left_out]


def test_with_jobs_adds_rights_and_the_engine(objects: Objects) -> None:
    made = {key(one): one for one in built("with-jobs")}
    added = {(kind, name) for kind, _, name in made.keys() - objects.keys()}
    assert added == {
        ("ServiceAccount", "kspec-fleet"),
        ("ClusterRoleBinding", "kspec-fleet-scanner"),
        *((kind, name) for kind in ("Role", "RoleBinding") for name in ("kspec-jobs", "kspec-fleet")),
    }
    deployment = ("Deployment", NAMESPACE, "kspec-operator")
    assert {name for name in objects if made[name] != objects[name]} == {deployment}
    (container,) = made[deployment]["spec"]["template"]["spec"]["containers"]
    parser = Parser("operator", description="", examples="")
    command.add_arguments(parser)
    args = parser.parse_args(container["args"])
    assert (args.scan_engine, args.scan_service_account) == ("job", "kspec-fleet")
    assert container["envFrom"] == [{"secretRef": {"name": args.scan_store_secret}}]
    assert container["env"] == [{"name": "KSPEC_IMAGE", "value": container["image"]}], (
        "the image is named once"
    )


def test_with_webhook_is_both(objects: Objects) -> None:
    both = {key(one): one for one in built("with-webhook")}
    assert both == objects | {key(one): one for one in built("webhook")}
    policy = both["NetworkPolicy", NAMESPACE, "kspec-webhook"]["spec"]
    template = both["Deployment", NAMESPACE, "kspec-webhook"]["spec"]["template"]
    assert policy["podSelector"]["matchLabels"] == template["metadata"]["labels"]
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports


def test_with_dashboard_is_the_same_with_a_port_more(objects: Objects) -> None:
    more = {key(one): one for one in built("with-dashboard")}
    assert more.keys() - objects.keys() == {
        ("ClusterRole", "", "kspec-operator-dashboard"),
        ("ClusterRoleBinding", "", "kspec-operator-dashboard"),
        ("Service", NAMESPACE, "kspec-dashboard"),
    }
    changed = [name for name in objects if more[name] != objects[name]]
    assert sorted(changed) == [
        ("Deployment", NAMESPACE, "kspec-operator"),
        ("NetworkPolicy", NAMESPACE, "kspec-operator"),
    ]
    template = more["Deployment", NAMESPACE, "kspec-operator"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    parser = Parser("operator", description="", examples="")
    command.add_arguments(parser)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert parser.parse_args(container["args"]).dashboard_bind_address == f":{ports['dashboard']}"
    service = more["Service", NAMESPACE, "kspec-dashboard"]["spec"]
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    assert [port["targetPort"] for port in service["ports"]] == ["dashboard"]
    (rule,) = more["NetworkPolicy", NAMESPACE, "kspec-operator"]["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} == ports.keys()


def test_the_image_is_named_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config" / "image" / "kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("newName: kspec, newTag: latest", "newName: own, newTag: v1"), encoding="utf-8"
    )
    monkeypatch.setattr(conftest, "CONFIG", tmp_path / "config")
    for folder in (
        "default",
        "scan-only",
        "without-remediation",
        "webhook",
        "with-webhook",
        "with-dashboard",
    ):
        images = [
            container["image"]
            for one in built(folder)
            if one["kind"] == "Deployment"
            for container in one["spec"]["template"]["spec"]["containers"]
        ]
        assert set(images) == {"own:v1"}, folder


def test_an_api_server_accepts_all_of_it_without_a_warning(operated: Cluster, tmp_path: Path) -> None:
    config = operated.plane.kubeconfig(path=tmp_path / "kubeconfig")
    kubectl = [Path(sys.executable).with_name("kubectl"), f"--kubeconfig={config}"]
    words = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-k"]
    for folder in (
        "default",
        "scan-only",
        "without-remediation",
        "webhook",
        "with-webhook",
        "with-dashboard",
    ):
        done = subprocess.run(
            [*map(str, kubectl), *words, str(CONFIG / folder)], capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, ""), folder


def test_the_webhook_is_what_its_command_prints() -> None:
    made = install.manifests("kspec", NAMESPACE, webhook.SERVICE, None)
    kept = [one for one in made if one["kind"] != "Namespace"]
    text = (CONFIG / "webhook" / "webhook.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load_all(text)) == kept
    found = built("webhook")
    assert {key(one) for one in found} == {
        *(key(one) for one in kept),
        ("NetworkPolicy", NAMESPACE, "kspec-webhook"),
    }
    (reader,) = [
        one for one in found if one["kind"] == "ServiceAccount" and "reader" in one["metadata"]["name"]
    ]
    (role,) = [
        one for one in built() if one["kind"] == "Role" and one["metadata"]["name"] == "kspec-enforcer"
    ]
    named = {name for rule in role["rules"] for name in rule["resourceNames"]}
    assert named == {reader["metadata"]["name"], f"https:{webhook.SERVICE}:{webhook_client.PORT}"}


def test_the_lease_is_the_one_that_may_be_written(objects: Objects) -> None:
    rules = objects["Role", NAMESPACE, "kspec-operator"]["rules"]
    named = [rule["resourceNames"] for rule in rules if "resourceNames" in rule]
    assert named == [[lease.NAME]]
    assert lease.TERMS.problem() == ""


def test_the_operator_may_ask_who_reads_its_metrics(objects: Objects) -> None:
    (asking,) = [
        one
        for (kind, _, name), one in objects.items()
        if (kind, name) == ("ClusterRole", "kspec-operator-metrics")
    ]
    assert [(rule["resources"], rule["verbs"]) for rule in asking["rules"]] == [
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]
    assert objects["ClusterRole", "", "kspec-metrics-reader"]["rules"] == [
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
    ]
    endpoint = yaml.safe_load((CONFIG / "monitoring" / "servicemonitor.yaml").read_text().partition("---")[0])
    (scraped,) = endpoint["spec"]["endpoints"]
    deployment = objects["Deployment", NAMESPACE, "kspec-operator"]["spec"]["template"]["metadata"]
    assert (scraped["scheme"], deployment["annotations"]["prometheus.io/scheme"]) == ("https", "https")


def test_the_operator_may_do_what_its_controllers_ask_for(objects: Objects) -> None:
    asked: set[tuple[str, str, str, str]] = set()
    metrics = Metrics(State(lambda: False, lambda: 0, lambda: 0.0, lambda: 0))
    given = Given(*[cast("Any", None)] * len(Given._fields))._replace(metrics=metrics)
    for make in controllers(Settings()):
        for right in make(given).rights:
            asked |= {(right.namespace, right.group, right.resource, verb) for verb in right.verbs}
    granted = {
        (namespace, group, resource, verb)
        for (kind, namespace, name), role in objects.items()
        if kind in ("ClusterRole", "Role") and name == "kspec-operator"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if resource != "leases"
    }
    assert granted == asked


def test_a_scan_reads_what_the_page_of_sources_says(objects: Objects) -> None:
    page = Page(ROOT / "docs" / "sources.md")
    (role,) = [yaml.safe_load(body) for body in page.blocks("yaml") if "kind: ClusterRole" in body]
    assert objects["ClusterRole", "", "kspec-scanner"]["rules"] == role["rules"]


def test_our_own_pods_meet_the_restricted_specification(tmp_path: Path, run_kspec: Kspec) -> None:
    manifests = tmp_path / "manifests.yaml"
    kept = [one for one in (*built(), *built("webhook")) if one["kind"] != "CustomResourceDefinition"]
    manifests.write_text(yaml.safe_dump_all(kept), encoding="utf-8")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kspec.dev/v1",
                "kind": "ClusterSpecification",
                "metadata": {"name": "own", "version": "1.0.0"},
                "spec": {
                    "podSecurity": {"enforce": "restricted", "audit": "restricted", "warn": "restricted"},
                    "workloads": {
                        "containers": {
                            "required": [
                                {"key": "securityContext.readOnlyRootFilesystem", "value": True},
                                {"key": "resources.limits.memory", "exists": True},
                            ]
                        }
                    },
                },
            }
        ),
        encoding="utf-8",
    )
    said = run_kspec("scan", spec, "--cluster", manifests)
    assert said.code == 0, said.out + said.err
