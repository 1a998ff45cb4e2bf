"""podSecurity.standard[…]: what is collected at a level and version; which level holds in a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.testing import evaluate
from tests.rules.pod_security import CHECKS

BASELINE = {
    "appArmorProfile",
    "capabilities",
    "hostNamespaces",
    "hostPathVolumes",
    "hostPorts",
    "hostProbesAndHostLifecycle",
    "hostProcess",
    "privileged",
    "procMount",
    "seLinuxOptions",
    "seccompProfile",
    "sysctls",
}
REPLACED = {"capabilities", "hostPathVolumes", "procMount", "seccompProfile"}
RESTRICTED = (BASELINE - REPLACED) | {
    "allowPrivilegeEscalation",
    "capabilitiesRestricted",
    "procMountRestricted",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfileRestricted",
    "volumeTypes",
}
PRIVILEGED = {"containers": [{"name": "app", "securityContext": {"privileged": True}}]}
PLAIN = {"containers": [{"name": "app"}]}


def pod(namespace: str, spec: Any = PRIVILEGED) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def exempt(namespace: str, level: str, **fields: Any) -> dict[str, Any]:
    return {"namespace": namespace, "level": level, "reason": "agreed", **fields}


def run(
    control: str, *objects: Any, server: str = "v1.37.0", kind: str = "live", **pod_security: Any
) -> list[tuple[str, str, list[str]]]:
    spec = {"podSecurity": {"enforce": "baseline", **pod_security}}
    results = evaluate(CHECKS[control], objects=objects, spec=spec, version=server, kind=kind)
    return [(r.verdict, r.reason, [str(f.resource) for f in r.findings]) for r in results]


@pytest.mark.parametrize(
    ("pod_security", "expected"),
    [
        ({"enforce": "privileged"}, set()),
        ({"audit": "restricted"}, set()),
        ({"enforce": "baseline"}, BASELINE),
        ({"enforce": "baseline", "version": "latest"}, BASELINE),
        ({"enforce": "baseline", "version": "v1.33"}, BASELINE - {"hostProbesAndHostLifecycle"}),
        ({"enforce": "restricted"}, RESTRICTED),
        ({"enforce": "restricted", "version": "v1.99"}, RESTRICTED),
        (
            {"enforce": "restricted", "version": "v1.22"},
            RESTRICTED - {"hostProbesAndHostLifecycle", "runAsUser"},
        ),
        (
            {"enforce": "restricted", "version": "v1.0"},
            RESTRICTED - {"hostProbesAndHostLifecycle", "runAsUser", "allowPrivilegeEscalation"},
        ),
        ({"enforce": "restricted", "exemptions": [exempt("a", "baseline")]}, RESTRICTED | REPLACED),
        ({"enforce": "restricted", "exemptions": [exempt("a", "privileged")]}, RESTRICTED),
        ({"enforce": "privileged", "exemptions": [exempt("a", "baseline")]}, BASELINE),
        ({"enforce": "baseline", "exemptions": [exempt("a", "restricted")]}, RESTRICTED | REPLACED),
    ],
)
def test_what_is_collected(pod_security: Any, expected: Any) -> None:
    spec = {"podSecurity": pod_security}

    assert {name for name, check in CHECKS.items() if evaluate(check, spec=spec)} == expected


def test_pods_and_templates_are_examined() -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "a"},
        "spec": {"template": {"spec": PRIVILEGED}},
    }
    spec = {"podSecurity": {"enforce": "baseline"}}
    (result,) = evaluate(CHECKS["privileged"], objects=[deployment, pod("a")], spec=spec)

    assert [(str(f.resource), f.path) for f in result.findings] == [
        ("Deployment a/shop", "spec.template.spec.containers[app].securityContext.privileged"),
        ("Pod a/web", "spec.containers[app].securityContext.privileged"),
    ]


@pytest.mark.parametrize(
    ("exemptions", "found"),
    [
        ([], ["Pod a/web", "Pod b/web"]),
        ([exempt("a", "privileged")], ["Pod b/web"]),
        ([exempt("?", "privileged")], []),
        ([exempt("a", "privileged", expiresAt="2020-01-01")], ["Pod a/web", "Pod b/web"]),
        ([exempt("a", "privileged", expiresAt="2999-01-01")], ["Pod b/web"]),
        # The first valid one decides.
        ([exempt("a", "privileged", expiresAt="2020-01-01"), exempt("?", "privileged")], []),
        ([exempt("a", "baseline"), exempt("*", "privileged")], ["Pod a/web"]),
    ],
)
def test_exempted_namespaces(exemptions: Any, found: Any) -> None:
    ((verdict, reason, resources),) = run("privileged", pod("a"), pod("b"), exemptions=exemptions)

    # Where nothing is left to examine there is nothing to pass.
    expected = ("fail", "") if found else ("skip", "nothing there to examine")
    assert (verdict, reason, resources) == (*expected, found)


def test_an_exempted_namespace_is_held_to_its_own_level() -> None:
    objects = [pod("strict", PLAIN), pod("loose", PLAIN)]
    exemptions = [exempt("loose", "baseline")]

    assert run("runAsNonRoot", *objects, enforce="restricted", exemptions=exemptions) == [
        ("fail", "", ["Pod strict/web"])
    ]
    assert run("runAsNonRoot", *objects, enforce="baseline", exemptions=[exempt("strict", "restricted")]) == [
        ("fail", "", ["Pod strict/web"])
    ]
    # A control of baseline that restricted replaces still holds in a namespace held to baseline.
    volume = {**PLAIN, "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}
    objects = [pod("strict", volume), pod("loose", volume)]
    assert [
        run(name, *objects, enforce="restricted", exemptions=exemptions)
        for name in ("volumeTypes", "hostPathVolumes")
    ] == [[("fail", "", ["Pod strict/web"])], [("fail", "", ["Pod loose/web"])]]


@pytest.mark.parametrize(
    ("asked", "server", "kind", "expected"),
    [
        (None, "v1.34.0-gke.1", "live", "fail"),
        (None, "v1.33.9", "live", "skip"),
        (None, "v1.99.0", "live", "fail"),
        (None, "", "manifests", "fail"),
        ("latest", "v1.33.9", "live", "fail"),
        ("v1.34", "v1.20.0", "live", "fail"),
        ("v1.99", "v1.20.0", "live", "fail"),
    ],
)
def test_the_version_is_the_asked_one_else_that_of_the_cluster(
    asked: Any, server: str, kind: str, expected: Any
) -> None:
    spec = {"containers": [{"name": "app", "livenessProbe": {"httpGet": {"host": "x"}}}]}
    version = {"version": asked} if asked else {}
    ((verdict, reason, _),) = run(
        "hostProbesAndHostLifecycle", pod("a", spec), server=server, kind=kind, **version
    )

    assert verdict == expected
    assert reason == (
        "version v1.33 of the Pod Security Standards has no control hostProbesAndHostLifecycle; v1.34 has."
        if expected == "skip"
        else ""
    )


def test_a_server_version_that_cannot_be_read_is_an_error() -> None:
    ((verdict, reason, _),) = run("privileged", pod("a"), server="devel")

    assert verdict == "error"
    assert reason == (
        "the version of the API server could not be read: "
        "'devel' is not a Kubernetes version: write 1.34 or 1.34.1."
    )


def test_an_impossible_type_is_an_error_and_the_other_pods_are_still_examined() -> None:
    broken = pod("a", {"containers": [{"name": "app", "securityContext": {"privileged": "yes"}}]})
    spec = {"podSecurity": {"enforce": "baseline"}}
    (result,) = evaluate(CHECKS["privileged"], objects=[broken, pod("b")], spec=spec)

    assert (result.verdict, [str(f.resource) for f in result.findings]) == ("error", ["Pod b/web"])
    assert result.reason == (
        "Pod a/web: spec.containers[app].securityContext.privileged is text; "
        "Kubernetes allows only a boolean there."
    )
