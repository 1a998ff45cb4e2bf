"""`kspec enforce --engine kyverno` on a real API server with Kyverno's own definitions of its kinds.

Kyverno itself does not run here: what it would write into `status` the tests write, and what its engine decides
`make test-kyverno` compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cli.commands import enforce_steps as enforce_run
from pytest_kspec.cli.main import main
from pytest_kspec.enforce import seen
from pytest_kspec.reference.asked import everything
from tests.controlplane.server import ControlPlane, Etcd
from tests.kyverno.cluster import PATHS, install

VALIDATING, CLUSTER = PATHS["ValidatingPolicy"], PATHS["ClusterPolicy"]
DEPRECATED = "kyverno.io/v1 ClusterPolicy is deprecated"
ALL = [
    "kspec-live-cronjobs",
    "kspec-live-pods",
    "kspec-live-podtemplates",
    "kspec-live-services",
    "kspec-live-workloads",
]


@pytest.fixture(scope="module")
def plain(etcd: Etcd) -> Iterator[Any]:
    """A control plane without Kyverno."""
    with ControlPlane(etcd) as plane:
        yield plane


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[Any]:
    """A control plane that serves Kyverno's kinds."""
    with ControlPlane(etcd) as plane:
        install(plane, PATHS)
        yield plane


@pytest.fixture
def kspec(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """kspec enforce --engine kyverno with this `spec:` part: (exit code, stdout, stderr)."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(seen, "PATIENCE_S", 0.0)  # nothing here will ever deny

    def enforce(plane: Any, spec: Any, *words: Any, name: str = "live") -> tuple[Any, Any, Any]:
        monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig(path=tmp_path / "kubeconfig")))
        path = tmp_path / f"{name}.yaml"
        metadata = {"name": name, "version": "1.0.0"}
        document = {
            "apiVersion": "kspec.dev/v1",
            "kind": "ClusterSpecification",
            "metadata": metadata,
            "spec": spec,
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        code = main(["enforce", str(path), "--engine", "kyverno", *words, "--yes"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return enforce


def names(plane: Any, path: str, name: str = "live") -> list[Any]:
    items = plane.request("GET", f"{path}?labelSelector=kspec.io/cluster-spec={name}").body["items"]
    return sorted(item["metadata"]["name"] for item in items)


def part(**more: Any) -> dict[str, Any]:
    return {
        "podSecurity": {"enforce": "baseline", "version": "v1.37"},
        "namespaceScope": {"excludeNamespaces": ["kube-*"], "namespaceSelector": {"matchLabels": {"a": "b"}}},
        **more,
    }


@pytest.mark.parametrize("level", ["restricted", "baseline"])
@pytest.mark.parametrize(("api", "path"), [("validatingpolicy", VALIDATING), ("clusterpolicy", CLUSTER)])
def test_everything_is_accepted_as_it_is(plane: Any, kspec: Any, level: str, api: str, path: str) -> None:
    whole = everything()[("restricted", "baseline").index(level)]
    spec = whole.model_dump(by_alias=True, exclude_unset=True)
    try:
        code, out, err = kspec(plane, spec, "--mode", "enforce", "--kyverno-api", api)
        assert code == 2, err  # it says so: Kyverno does not run, so nothing denies
        assert "Pod: violations are still admitted" in err
        assert names(plane, path) == ALL
        warnings = [line for line in err.splitlines() if "Warning" in line or "deprecated" in line]
        assert all(DEPRECATED in line for line in warnings), warnings
        assert bool(warnings) == (api == "clusterpolicy")
        code, out, _ = kspec(plane, spec, "--mode", "enforce", "--kyverno-api", api)
        assert "5 unchanged" in out
    finally:
        kspec(plane, spec, "--remove")
    assert names(plane, path) == []


def test_apply_change_prune_remove(plane: Any, kspec: Any) -> None:
    code, out, _ = kspec(plane, part(), "--mode", "audit", "--dry-run")
    assert (code, names(plane, VALIDATING)) == (0, [])
    assert "4 to create; nothing was applied" in out

    kspec(plane, part(network={"allowedServiceTypes": ["ClusterIP"]}), "--mode", "audit")
    assert names(plane, VALIDATING) == ALL
    made = plane.request("GET", f"{VALIDATING}/kspec-live-pods").body["spec"]
    assert made["validationActions"] == ["Warn", "Audit"]
    assert made["autogen"]["podControllers"] == {"controllers": []}

    code, out, _ = kspec(plane, part(), "--mode", "enforce")
    assert "will change ValidatingPolicy kspec-live-pods" in out
    assert "4 to change, 1 to remove" in out
    assert names(plane, VALIDATING) == [name for name in ALL if not name.endswith("services")]
    made = plane.request("GET", f"{VALIDATING}/kspec-live-pods").body["spec"]
    assert made["validationActions"] == ["Deny"]

    kspec(plane, part(), "--mode", "audit", name="other")
    code, out, _ = kspec(plane, part(), "--remove")
    assert (code, names(plane, VALIDATING)) == (0, [])
    assert len(names(plane, VALIDATING, "other")) == 4
    kspec(plane, part(), "--remove", name="other")


def test_a_change_of_the_api_leaves_nothing_behind(
    plane: Any, kspec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the new ones work: until Kyverno has put them into its webhook, they do nothing."""
    monkeypatch.setattr(enforce_run, "_PENDING_S", 0.0)
    kspec(plane, part(), "--mode", "audit", "--kyverno-api", "clusterpolicy")
    assert len(names(plane, CLUSTER)) == 4
    _, out, err = kspec(plane, part(), "--mode", "audit")
    assert "4 to create, 4 to remove" in out
    assert "policies of kind ClusterPolicy stay until those of kind ValidatingPolicy are in force" in err
    assert (len(names(plane, VALIDATING)), len(names(plane, CLUSTER))) == (4, 4)

    for name in names(plane, VALIDATING):
        heard = condition("WebhookConfigured", "True", "")
        report(plane, VALIDATING, name, {"conditionStatus": {"conditions": [heard]}})
    _, out, err = kspec(plane, part(), "--mode", "audit")
    assert "4 to remove" in out or "4 removed" in out, out
    assert "stay until" not in err
    assert (len(names(plane, VALIDATING)), names(plane, CLUSTER)) == (4, [])
    kspec(plane, part(), "--remove")


def test_a_foreign_policy_of_our_name_stays(plane: Any, kspec: Any) -> None:
    foreign = {
        "apiVersion": "policies.kyverno.io/v1",
        "kind": "ValidatingPolicy",
        "metadata": {"name": "kspec-live-pods"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ]
            },
            "validations": [{"expression": "true"}],
        },
    }
    assert plane.request("POST", VALIDATING, foreign).status == 201
    code, _, err = kspec(plane, part(), "--mode", "enforce")
    assert code != 0
    assert "ValidatingPolicy kspec-live-pods already exists, and it was not created by kspec" in err
    plane.request("DELETE", f"{VALIDATING}/kspec-live-pods")


def report(plane: Any, path: str, name: str, status: Any) -> None:
    answer = plane.request("PATCH", f"{path}/{name}/status", {"status": status})
    assert answer.status == 200, answer


def condition(kind: str, status: Any, message: str) -> dict[str, Any]:
    when = "2026-06-01T00:00:00Z"
    reason = "Succeeded" if status == "True" else "Failed"
    return {
        "type": kind,
        "status": status,
        "message": message,
        "reason": reason,
        "lastTransitionTime": when,
    }


def test_status_is_what_kyverno_says(plane: Any, kspec: Any) -> None:
    code, out, _ = kspec(plane, part(), "--status")
    assert (code, "nothing is in force" in out) == (1, True)
    kspec(plane, part(), "--mode", "enforce")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enforce_run, "_PENDING_S", 0.2)
        code, out, _ = kspec(plane, part(), "--status")
    assert code == 1
    assert out.count("not in force") == 4
    assert out.count("is its admission controller running?") == 4

    good = condition("WebhookConfigured", "True", "Webhook configured.")
    bad = condition("WebhookConfigured", "False", "Policy is not configured in the webhook.")
    rights = condition("RBACPermissionsGranted", "False", "Policy is not ready for reporting.")
    for name in ALL:
        if not name.endswith("services"):
            report(plane, VALIDATING, name, {"conditionStatus": {"conditions": [good], "message": ""}})
    code, out, _ = kspec(plane, part(), "--status")
    assert code == 0, out
    assert out.count(": enforce\n") == 4

    pods = {"conditionStatus": {"conditions": [bad], "message": ""}}
    report(plane, VALIDATING, "kspec-live-pods", pods)
    jobs = {"conditionStatus": {"conditions": [good, rights], "message": ""}}
    report(plane, VALIDATING, "kspec-live-cronjobs", jobs)
    code, out, _ = kspec(plane, part(), "--status")
    assert code == 1
    assert "kspec-live-pods: not in force" in out
    assert "WebhookConfigured: Policy is not configured in the webhook." in out
    assert "kspec-live-cronjobs: enforce" in out
    assert "RBACPermissionsGranted: Policy is not ready for reporting." in out
    kspec(plane, part(), "--remove")


def test_status_of_clusterpolicies(plane: Any, kspec: Any) -> None:
    kspec(plane, part(), "--mode", "audit", "--kyverno-api", "clusterpolicy")
    ready = {"conditions": [condition("Ready", "True", "Ready")]}
    for name in names(plane, CLUSTER):
        report(plane, CLUSTER, name, ready)
    report(
        plane,
        CLUSTER,
        "kspec-live-pods",
        {"conditions": [condition("Ready", "False", "Not Ready")]},
    )
    code, out, _ = kspec(plane, part(), "--status")
    assert code == 1
    assert out.count(": audit\n") == 3
    assert "kspec-live-pods: not in force" in out
    assert "Ready: Not Ready" in out
    kspec(plane, part(), "--remove")


@pytest.mark.parametrize("word", ["--mode=enforce", "--status", "--remove"])
def test_without_kyverno_it_says_so(plain: Any, kspec: Any, word: str) -> None:
    code, _, err = kspec(plain, part(), word)
    assert code in (2, 4)
    assert "is not served" in err
    assert "Is Kyverno installed?" in err
