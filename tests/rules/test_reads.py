"""What a rule says that it reads is all that decides: pods that are equal there both violate it, or neither does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kspec.kube.resources import CONTAINER_LISTS, PodShape
from pytest_kspec.rules.base import Rule
from pytest_kspec.rules.pods.podsecurity import NEWEST_MINOR
from pytest_kspec.rules.pods.requiredfield import ForbiddenField, RequiredField
from pytest_kspec.rules.servicerules import PortRule
from tests.effort import examples
from tests.rules.pod_security import CONTROLS, shape
from tests.rules.pods import pods

KEYS = (
    "securityContext.runAsNonRoot",
    "securityContext.allowPrivilegeEscalation",
    "securityContext.capabilities.drop",
    "securityContext.windowsOptions.hostProcess",
    "resources.limits.memory",
    "resources.requests.cpu",
    "imagePullPolicy",
    "livenessProbe",
    "lifecycle",
    "ports.hostPort",
    "hostNetwork",
    "os.name",
    "spec.securityContext.runAsUser",
)


def rules() -> list[tuple[Rule, tuple[str, ...]]]:
    found: list[Any] = [PortRule(ports=(80, 8001)), RequiredField("imagePullPolicy", "Always")]
    found += [
        kind(key, None, exists)
        for kind in (RequiredField, ForbiddenField)
        for key in KEYS
        for exists in (None, True)
    ]
    for control in CONTROLS.values():
        found += [
            control.rule_for(level, minor)
            for level in ("baseline", "restricted")
            for minor in (0, 24, 34, NEWEST_MINOR)
        ]
    return [(rule, rule.reads) for rule in found if getattr(rule, "reads", ())]


RULES = rules()
IMAGE = st.sampled_from(["a", "a:latest", "a:1", "registry.example.com/a@sha256:" + "0" * 64])
RESOURCES = st.sampled_from(
    [None, {}, {"limits": {"memory": "1Gi"}}, {"requests": {"cpu": "1"}}, {"limits": {"cpu": 1}}]
)
RESTART = st.sampled_from([None, "Always"])


def spliced(
    one: dict[str, Any], other: dict[str, Any], reads: tuple[str, ...], more: dict[str, Any]
) -> PodShape:
    """The pod `one` where the rule reads, and `other` everywhere else; other names too."""
    spec = {key: value for key, value in other["spec"].items() if key not in CONTAINER_LISTS}
    for level, _, key in (name.partition(".") for name in reads):
        if level == "spec":
            spec.pop(key, None)
            if key in one["spec"]:
                spec[key] = one["spec"][key]
    own = [name.partition(".")[2] for name in reads if name.startswith("containers.")]
    for list_name in CONTAINER_LISTS:
        containers = one["spec"].get(list_name)
        if containers is None:
            continue
        spec[list_name] = []
        for index, container in enumerate(containers):
            foreign = other["spec"]["containers"][0] | more
            spec[list_name].append(
                {key: value for key, value in foreign.items() if key not in own}
                | {key: container[key] for key in own if key in container}
                | {"name": f"other-{index}"}
            )
    return PodShape(spec, {})


FIELDS = st.fixed_dictionaries({"image": IMAGE, "resources": RESOURCES, "restartPolicy": RESTART})


@settings(max_examples=examples(150))
@given(pods(), pods(), FIELDS, FIELDS)
def test_what_a_rule_reads_decides(one: Any, other: Any, mine: dict[str, Any], more: dict[str, Any]) -> None:
    for list_name in CONTAINER_LISTS:
        for container in one["spec"].get(list_name, ()):
            container |= mine
    pod = shape(one)
    for rule, reads in RULES:
        twin = spliced(one, other, reads, more)
        assert list(map(pod.facet, reads)) == list(map(twin.facet, reads))
        assert bool(rule.evaluate(pod)) == bool(rule.evaluate(twin)), rule


def test_data_that_is_no_json_is_equal_to_nothing() -> None:
    spec = {"os": object(), "volumes": [1]}
    assert PodShape(spec, {}).facet("spec.os") != PodShape(spec, {}).facet("spec.os")
    assert PodShape(spec, {}).facet("spec.volumes") == PodShape(spec, {}).facet("spec.volumes")
