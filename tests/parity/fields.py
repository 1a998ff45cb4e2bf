"""Policies of workloads.containers in force, and pods with more fields than Pod Security looks at."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st

from pytest_kspec.enforce.cel import program
from tests.parity.admission import refused
from tests.parity.objects import CANARIES
from tests.parity.verdicts import agreed
from tests.rules.pods import pods, some

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
def varied(draw: Any) -> Any:
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


class Groups(list[Any]):
    """(plan, label) of each field, required and forbidden; with a short repr, for Hypothesis."""

    def __repr__(self) -> str:
        return "groups"


def held_to(server: Any, parts: Any, longest: Any) -> Any:
    """Groups of policies in force: parts are (name, required, forbidden), messages have up to so many characters."""
    made = Groups()
    namespace = server.namespace()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_LONGEST_MESSAGE", longest)
        for name, *both in parts:
            for kind, asked in zip(("required", "forbidden"), both, strict=True):
                if not asked:
                    continue
                plan = server.plan({"workloads": {"containers": {kind: asked}}})
                label = {"kspec-parity-group": f"fields-{kind}-{name}"}
                assert server.apply_plan(plan, places=("pods", "workloads"), object_labels=label)
                made.append((plan, label, namespace))
    for _, label, _ in made:
        server.wait(namespace, CANARIES["pods"], labels=label)
        server.wait(namespace, CANARIES["workloads"], labels=label)
    return made


def compare(server: Any, groups: Any, obj: Any, counted: Counter[str]) -> None:
    namespace = groups[0][2]
    obj["metadata"]["namespace"] = namespace
    answer = server.create(namespace, obj)
    if answer.status != 201:
        assert answer.status == 422, answer
        counted["invalid"] += 1
        return
    counted["valid"] += 1
    made = answer.body | {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    for plan, label, _ in groups:
        found = agreed(plan, made)
        answer = server.create(namespace, {**obj, "metadata": {**obj["metadata"], "labels": label}})
        theirs = refused(answer)
        violated = len({requirement for requirement, _ in theirs})
        counted["violated"] += violated
        counted["held"] += len(plan.rules) - violated
        assert theirs == found, (label, made["spec"])
