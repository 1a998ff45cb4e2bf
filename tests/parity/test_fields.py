"""workloads.containers.required and .forbidden: fields of every type, with inheritance and defaults, on any pod."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.enforce.cel import program
from tests.effort import with_fixtures
from tests.parity.admission import refused
from tests.parity.objects import CANARIES, as_template, settled
from tests.parity.verdicts import agreed
from tests.rules.pods import pods, some

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

QUANTITY = st.sampled_from(["1Gi", "1024Mi", "2Gi", "1"])
CPU = st.sampled_from(["500m", "0.5", "100m", "1"])
RESOURCES = some({"memory": QUANTITY, "cpu": CPU, "nvidia.com/gpu": st.just("1")}, 3)
CONTAINER = {
    "resources": some(
        {"limits": RESOURCES, "requests": some({"memory": st.just("1Ki"), "cpu": st.just("1m")}, 2)}, 2
    ),
    "imagePullPolicy": st.sampled_from(["Always", "Never"]),
    "env": st.sampled_from(
        [[], [{"name": "A", "value": "secret"}], [{"name": "A"}, {"name": "B", "value": "x"}]]
    ),
    "command": st.sampled_from([["run"], ["sh", "-c"]]),
    "terminationMessagePolicy": st.sampled_from(["File", "FallbackToLogsOnError"]),
    "volumeMounts": st.sampled_from([True, False, None]).map(
        lambda flag: [{"name": "m", "mountPath": "/m"} | ({} if flag is None else {"readOnly": flag})]
    ),
}
POD = {
    "automountServiceAccountToken": st.booleans(),
    "serviceAccountName": st.sampled_from(["default", "other"]),
    "enableServiceLinks": st.booleans(),
    "terminationGracePeriodSeconds": st.sampled_from([0, 30, 60]),
    "dnsPolicy": st.sampled_from(["Default", "ClusterFirst"]),
    "restartPolicy": st.sampled_from(["Always", "Never"]),
    "nodeSelector": st.sampled_from([{"zone": "a"}, {"zone": "b"}, {"other": "a"}]),
    "resources": some({"limits": some({"memory": st.just("8Gi"), "cpu": st.just("8")}, 2)}, 1),
}
PROJECTED = st.sampled_from(
    [[], [{"secret": {"name": "a"}}], [{"configMap": {"name": "b"}}, {"secret": {"name": "c"}}]]
)


@st.composite
def varied(draw):
    """A pod with more fields than Pod Security looks at."""
    pod = draw(pods(ephemeral=False))
    spec = pod["spec"]
    windows = (spec.get("os") or {}).get("name") == "windows"
    for container in [*spec["containers"], *spec.get("initContainers", ())]:
        container.update(copy.deepcopy(draw(some(CONTAINER, 3))))
        if draw(st.booleans()) and not windows:
            container["securityContext"] = (container["securityContext"] or {}) | {
                "readOnlyRootFilesystem": draw(st.booleans())
            }
    spec.update(copy.deepcopy(draw(some(POD, 3))))
    if windows:
        spec.pop("resources", None)
    elif draw(st.booleans()):
        spec["securityContext"] = (spec["securityContext"] or {}) | {
            "supplementalGroups": [draw(st.sampled_from([1, 1000]))]
        }
    volumes = spec.setdefault("volumes", [])
    volumes.append({"name": "m", "emptyDir": {}})
    volumes.append({"name": "j", "projected": {"sources": draw(PROJECTED)}})
    return pod


class Groups(list):
    """(plan, label) of each field, required and forbidden; with a short repr, for Hypothesis."""

    def __repr__(self):
        return "groups"


def entries(key, value):
    """Every meaning that an entry of this key may have."""
    found = [{"key": key}, {"key": key, "exists": True}, {"key": key, "exists": False}]
    if value is not None:
        found += [{"key": key, "value": value}, {"key": key, "value": value, "exists": True}]
    return found


def held_to(server, size, longest):
    """Groups of policies in force: of so many fields each, with messages of up to so many characters."""
    made = Groups()
    namespace = server.namespace()
    fields = [*FIELDS.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_LONGEST_MESSAGE", longest)
        for number in range(0, len(fields), size):
            asked = [entry for key, value in fields[number : number + size] for entry in entries(key, value)]
            for kind in ("required", "forbidden"):
                plan = server.plan({"workloads": {"containers": {kind: asked}}})
                label = {"kspec-parity-group": f"fields-{kind}-{number}"}
                assert server.apply_plan(plan, places=("pods", "workloads"), object_labels=label)
                made.append((plan, label, namespace))
    for _, label, _ in made:
        server.wait(namespace, CANARIES["pods"], labels=label)
        server.wait(namespace, CANARIES["workloads"], labels=label)
    return made


@pytest.fixture(scope="module")
def groups(server):
    return held_to(server, 1, 4900)  # all of a message is compared


def compare(server, groups, obj):
    namespace = groups[0][2]
    obj["metadata"]["namespace"] = namespace
    answer = server.create(namespace, obj)
    if answer.status != 201:
        assert answer.status == 422, answer
        COUNTED["invalid"] += 1
        return
    COUNTED["valid"] += 1
    made = answer.body | {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    for plan, label, _ in groups:
        found = agreed(plan, made)
        answer = server.create(namespace, {**obj, "metadata": {**obj["metadata"], "labels": label}})
        theirs = refused(answer)
        violated = len({requirement for requirement, _ in theirs})
        COUNTED["violated"] += violated
        COUNTED["held"] += len(plan.rules) - violated
        assert theirs == found, (label, made["spec"])


@with_fixtures(PODS)
@given(varied(), st.sampled_from(["pods", "pods", "workloads"]))
def test_fields(server, groups, pod, place):
    if place == "pods":
        compare(server, groups, pod)
        return
    pod["spec"]["restartPolicy"] = "Always"  # a Deployment has no other
    made = as_template(pod, place)
    assert made is not None
    compare(server, groups, settled(made))


def test_most_pods_said_something():
    """Runs after the one above. Requirements are counted: no object meets a whole group, as it says opposites."""
    if not COUNTED:
        pytest.skip("the generated pods were not selected")
    assert COUNTED["valid"] > COUNTED["invalid"], COUNTED
    judged = COUNTED["violated"] + COUNTED["held"]
    assert min(COUNTED["violated"], COUNTED["held"]) > judged / 4, COUNTED
