"""Every class of mistake in the keys of a specification, with its exact line."""

from __future__ import annotations

import pytest

from tests.spec.refused import part_problems


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        # enums
        (
            "podSecurity: {enforce: restrict}",
            "s.yaml:1:24: podSecurity.enforce: 'restrict' is not allowed;"
            " allowed: privileged, baseline, restricted. Did you mean 'restricted'?",
        ),
        (
            "podSecurity: {exemptions: []}",
            "s.yaml:1:1: podSecurity: has no effect: set enforce, audit or warn.",
        ),
        (
            "network: {allowedServiceTypes: [clusterIP]}",
            "s.yaml:1:33: network.allowedServiceTypes[0]: 'clusterIP' is not allowed;"
            " allowed: ClusterIP, NodePort, LoadBalancer, ExternalName. Did you mean 'ClusterIP'?",
        ),
        # versions
        (
            "kubernetes: {minVersion: 1.30, maxVersion: 1.29.9}",
            "s.yaml:1:44: kubernetes.maxVersion: minVersion 1.30 is above maxVersion 1.29.9.",
        ),
        (
            "kubernetes: {minVersion: latest}",
            "s.yaml:1:26: kubernetes.minVersion: 'latest' is not a Kubernetes version: write 1.34 or 1.34.1.",
        ),
        (
            "kubernetes: {excludedVersions: [1.29.1, 1.x]}",
            "s.yaml:1:41: kubernetes.excludedVersions[1]: '1.x' is not a Kubernetes version: write 1.34"
            " or 1.34.1.",
        ),
        (
            "podSecurity: {enforce: baseline, version: 1.30}",
            "s.yaml:1:43: podSecurity.version: '1.30' is not a Pod Security version;"
            " allowed: latest, v1.0, v1.1, …. Did you mean 'v1.30'?",
        ),
        # container keys and values
        (
            "workloads: {containers: {required: [{key: securityContext.runAsNonroot, value: true}]}}",
            "s.yaml:1:43: workloads.containers.required[0].key:"
            " 'securityContext.runAsNonroot' is not a field of a Kubernetes Pod. "
            "Did you mean 'securityContext.runAsNonRoot'?",
        ),
        (
            "workloads: {containers: {forbidden: [{key: hostNetwork, value: maybe}]}}",
            "s.yaml:1:64: workloads.containers.forbidden[0].value:"
            " hostNetwork is a boolean: true or false, not 'maybe'.",
        ),
        (
            "workloads: {containers: {required: [{key: image, value: {a: b}}]}}",
            "s.yaml:1:50: workloads.containers.required[0].value:"
            " must be a string, an integer, true, false, or a list of those.",
        ),
        (
            "workloads: {containers: {required: [{key: image, value: a, exists: false}]}}",
            "s.yaml:1:37: workloads.containers.required[0]: value and 'exists: false' contradict each other;"
            " 'orUnset: true' lets the field be unset.",
        ),
        (
            "workloads: {containers: {required: [{key: resources.limits.cpu, max: 1, value: 2}]}}",
            "s.yaml:1:37: workloads.containers.required[0]: max and value contradict each other:"
            " write two entries, or alternatives below anyOf.",
        ),
        (
            "workloads: {containers: {required: [{key: resources.limits.cpu, min: 2, max: 500m}]}}",
            "s.yaml:1:70: workloads.containers.required[0].min: min 2 is above max 500m.",
        ),
        (
            "workloads: {containers: {required: [{key: resources.limits.memory, max: 1GB}]}}",
            "s.yaml:1:73: workloads.containers.required[0].max:"
            " resources.limits.memory is a quantity such as 500m or 1Gi, not '1GB'.",
        ),
        (
            "workloads: {containers: {required: [{key: terminationGracePeriodSeconds, max: 2d}]}}",
            "s.yaml:1:79: workloads.containers.required[0].max: terminationGracePeriodSeconds is an integer,"
            " or a duration such as 90s or 5m, not '2d'.",
        ),
        (
            "workloads: {containers: {required: [{key: priority, max: 5m}]}}",
            "s.yaml:1:58: workloads.containers.required[0].max: priority is an integer, not '5m'.",
        ),
        (
            "workloads: {containers: {required: [{key: hostNetwork, max: 1}]}}",
            "s.yaml:1:61: workloads.containers.required[0].max:"
            " hostNetwork is a boolean; max is for numbers and quantities.",
        ),
        (
            "workloads: {containers: {required: [{key: resources.limits.memory, max: [1Gi]}]}}",
            "s.yaml:1:68: workloads.containers.required[0].max:"
            " must be a number, a quantity such as 500m or 1Gi, or a duration such as 90s.",
        ),
        (
            "workloads: {containers: {required: [{key: ports.containerPort, pattern: '8.*'}]}}",
            "s.yaml:1:73: workloads.containers.required[0].pattern:"
            " ports.containerPort is a number; pattern is for text.",
        ),
        (
            "workloads: {containers: {required: [{key: image, pattern: 'a(?=b)'}]}}",
            "s.yaml:1:59: workloads.containers.required[0].pattern: 'a(?=b)' is not a regular expression (RE2"
            " syntax): invalid perl operator: (?= (look-ahead is not supported).",
        ),
        (
            "workloads: {containers: {required: [{key: image, allowed: [a]}]}}",
            "s.yaml:1:59: workloads.containers.required[0].allowed: image is not a list;"
            " for one of several values write value: [a, b].",
        ),
        (
            "workloads: {containers: {required: [{key: securityContext.supplementalGroups, allowed: [a]}]}}",
            "s.yaml:1:88: workloads.containers.required[0].allowed:"
            " securityContext.supplementalGroups is an integer, not 'a'.",
        ),
        (
            "workloads: {containers: {forbidden: [{key: command, allowed: [a]}]}}",
            "s.yaml:1:62: workloads.containers.forbidden[0].allowed: allowed can only be used in required.",
        ),
        (
            "workloads: {containers: {forbidden: [{key: hostUsers, value: true, orUnset: true}]}}",
            "s.yaml:1:77: workloads.containers.forbidden[0].orUnset: orUnset can only be used in required.",
        ),
        (
            "workloads: {containers: {required: [{key: hostUsers, orUnset: true}]}}",
            "s.yaml:1:37: workloads.containers.required[0]:"
            " orUnset has no effect without value, min, max, pattern, allowed or anyOf.",
        ),
        (
            "workloads: {containers: {required: [{key: hostUsers, value: true, orUnset: true, exists: true}]}}",
            "s.yaml:1:37: workloads.containers.required[0]: orUnset and exists contradict each other.",
        ),
        (
            "workloads: {containers: {required: [{key: hostUsers, anyOf: []}]}}",
            "s.yaml:1:61: workloads.containers.required[0].anyOf: must not be an empty list.",
        ),
        (
            "workloads: {containers: {required: [{key: hostUsers, anyOf: [{}]}]}}",
            "s.yaml:1:62: workloads.containers.required[0].anyOf[0]: an empty alternative has no effect:"
            " set value, min, max, pattern, allowed or exists.",
        ),
        (
            "workloads: {containers: {required: [{key: priority, anyOf: [{max: 1}, {min: x}]}]}}",
            "s.yaml:1:77: workloads.containers.required[0].anyOf[1].min: priority is an integer, not 'x'.",
        ),
        # registries
        (
            "workloads: {images: {allowedRegistries: [https://ghcr.io]}}",
            "s.yaml:1:42: workloads.images.allowedRegistries[0]: 'https://ghcr.io' is not a registry:"
            " remove the scheme (ghcr.io).",
        ),
        # RBAC
        (
            "rbac: {forbiddenRules: [{resource: secrets, verbs: []}]}",
            "s.yaml:1:52: rbac.forbiddenRules[0].verbs: must not be an empty list.",
        ),
        (
            "rbac: {forbiddenRules: [{apiGroup: core, resource: secrets, verbs: [get]}]}",
            "s.yaml:1:36: rbac.forbiddenRules[0].apiGroup: 'core' is not an API group; the core group is"
            ' written "".',
        ),
        (
            "rbac: {minimumRules: [{apiGroup: apps/v1, resource: deployments, verbs: [get]}]}",
            "s.yaml:1:34: rbac.minimumRules[0].apiGroup: 'apps/v1' is not an API group: remove the version"
            " (apps).",
        ),
        # types
        (
            "observability: {metrics: {required: on}}",
            "s.yaml:1:37: observability.metrics.required: must be true or false, found 'on'. Did you mean"
            " true?",
        ),
        (
            "observability: {logging: {auditLog: {minRetentionDays: -1}}}",
            "s.yaml:1:56: observability.logging.auditLog.minRetentionDays: must be at least 0, found -1.",
        ),
        (
            "observability: {logging: {auditLog: {minRetentionDays: 90d}}}",
            "s.yaml:1:56: observability.logging.auditLog.minRetentionDays: must be an integer, found '90d'.",
        ),
        (
            "network: {disallowedPorts: [0x16]}",
            "s.yaml:1:29: network.disallowedPorts[0]: must be an integer, found '0x16'.",
        ),
        (
            "network: {allowedServiceTypes: ClusterIP}",
            "s.yaml:1:32: network.allowedServiceTypes: must be a list, found 'ClusterIP'.",
        ),
        (
            "network: {requiredPolicies: [deny]}",
            "s.yaml:1:30: network.requiredPolicies[0]: must be an object, found 'deny'.",
        ),
        ("checks: [true]", "s.yaml:1:10: checks[0]: must be a string, found true. Put it in quotes."),
        ("checks: ['']", "s.yaml:1:10: checks[0]: must not be empty."),
        ("checks: [~]", "s.yaml:1:10: checks[0]: has no value: add a value or remove the key."),
        (
            "network: {defaultDeny: }",
            "s.yaml:1:11: network.defaultDeny: has no value: add a value or remove the key.",
        ),
        (
            "clusterRef: {name: a, n: b}",
            "s.yaml:1:23: clusterRef.n: unknown key. Allowed here: name, namespace.",
        ),
        # no suggestion: what is allowed
        (
            "workloads: {volumes: {}}",
            "s.yaml:1:13: workloads.volumes: unknown key. Allowed here: containers, images, podTemplates.",
        ),
        ("network: !!python/name:os.system {}", "s.yaml:1:10: tag !!python/name:os.system is not allowed."),
    ],
)
def test_key(part: str, expected: str) -> None:
    assert part_problems(part) == [expected]


def test_problems_of_a_part_are_not_repeated() -> None:
    assert part_problems("clusterRef: {nam: a}") == [
        "s.yaml:1:1: clusterRef.name: required key is missing.",
        "s.yaml:1:14: clusterRef.nam: unknown key. Did you mean 'name'?",
    ]


def test_merge_strategies() -> None:
    assert part_problems("policyInheritance: {basePolicies: [a], mergeStrategy: replace}") == [
        "s.yaml:1:55: policyInheritance.mergeStrategy: 'replace' is not allowed; allowed: merge,"
        " override, append."
    ]
