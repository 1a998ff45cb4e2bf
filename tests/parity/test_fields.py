"""workloads.containers.required and .forbidden: fields of every type, with inheritance and defaults, on any pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.effort import with_fixtures
from tests.parity.fields import compare, held_to, varied
from tests.parity.objects import as_template, settled

PODS = 40
FIELDS = {
    "securityContext.runAsNonRoot": "true",
    "securityContext.privileged": "false",
    "securityContext.readOnlyRootFilesystem": "true",
    "securityContext.runAsUser": 1000,
    "securityContext.seccompProfile": None,
    "securityContext.seccompProfile.type": ["RuntimeDefault", "Localhost"],
    "securityContext.windowsOptions.hostProcess": "true",
    "securityContext.windowsOptions.runAsUserName": "NT AUTHORITY\\SYSTEM",
    "securityContext.capabilities.drop": ["ALL"],
    "securityContext.capabilities.add": ["chown", "CAP_SYS_TIME"],
    "spec.securityContext.runAsNonRoot": "true",
    "securityContext.supplementalGroups": 1000,
    "resources.limits": None,
    "resources.limits.memory": "1Gi",
    "resources.requests.cpu": ["500m", "0.1"],
    "resources.requests.nvidia.com/gpu": "1",
    "imagePullPolicy": "Always",
    "livenessProbe": None,
    "livenessProbe.periodSeconds": 10,
    "livenessProbe.httpGet.port": "80",
    "lifecycle.preStop": None,
    "ports": None,
    "ports.hostPort": 80,
    "ports.protocol": "TCP",
    "env.name": "A",
    "env.value": "secret",
    "volumeMounts.readOnly": "true",
    "command": ["run"],
    "terminationMessagePolicy": "File",
    "restartPolicy": "Always",
    "hostNetwork": "true",
    "hostUsers": "false",
    "automountServiceAccountToken": "false",
    "serviceAccountName": "default",
    "enableServiceLinks": "false",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "volumes.hostPath.path": "/",
    "volumes.projected.sources.secret.name": "a",
    "nodeSelector.zone": "a",
}
COUNTED: Counter[str] = Counter()


def entries(key: str, value: Any) -> Any:
    """Every meaning that an entry of this key may have."""
    found = [{"key": key}, {"key": key, "exists": True}, {"key": key, "exists": False}]
    if value is not None:
        found += [{"key": key, "value": value}, {"key": key, "value": value, "exists": True}]
    return found


def parts(size: Any) -> Iterator[tuple[str, Any, Any]]:
    """So many fields together, each with every meaning."""
    fields = [*FIELDS.items()]
    for number in range(0, len(fields), size):
        asked = [entry for key, value in fields[number : number + size] for entry in entries(key, value)]
        yield str(number), asked, asked


@pytest.fixture(scope="module")
def groups(server: Any) -> Any:
    return held_to(server, parts(1), 4900)  # all of a message is compared


@with_fixtures(PODS)
@given(varied(), st.sampled_from(["pods", "pods", "workloads"]))
def test_fields(server: Any, groups: Any, pod: dict[str, Any], place: Any) -> None:
    if place == "pods":
        compare(server, groups, pod, COUNTED)
        return
    pod["spec"]["restartPolicy"] = "Always"  # a Deployment has no other
    made = as_template(pod, place)
    assert made is not None
    compare(server, groups, settled(made), COUNTED)


def test_most_pods_said_something() -> None:
    """Runs after the one above. Requirements are counted: no object meets a whole group, as it says opposites."""
    if not COUNTED:
        pytest.skip("the generated pods were not selected")
    assert COUNTED["valid"] > COUNTED["invalid"], COUNTED
    judged = COUNTED["violated"] + COUNTED["held"]
    assert min(COUNTED["violated"], COUNTED["held"]) > judged / 4, COUNTED
