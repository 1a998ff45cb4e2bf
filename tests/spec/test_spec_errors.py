"""Every class of mistake, with its exact line: file:line:column: key path: what, what is allowed."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import SpecError
from pytest_kspec.spec.loading import spec_from_part, spec_from_text

HEADER = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: a, version: 1.0.0}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec_from_text(text, "prod.yaml")
    error = caught.value
    return list(error.problems) or str(error).splitlines()


def part_problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec_from_part(text, path="s.yaml")
    return list(caught.value.problems) or str(caught.value).splitlines()


def exemption_problems(keys: str) -> list[str]:
    return part_problems(f"policyExemptions:\n- {{name: a, reason: r, {keys}}}\n")


def test_all_problems_of_a_file_come_at_once_in_the_order_of_the_file() -> None:
    assert problems(
        "apiVersion: kspec.dev/v1\n"
        "kind: ClusterSpecification\n"
        "metadata:\n"
        "  name: ''\n"
        "spec:\n"
        "  netwrok: {}\n"
        "  network:\n"
        "    defaultDeny: yes\n"
        "    disallowedPorts: [22, 0]\n"
        "  policyExemptions:\n"
        "  - {name: a, reason: r, checks: [x.y]}\n"
        "  - {name: a, checks: [x.y]}\n"
    ) == [
        "prod.yaml:3:1: metadata.version: required key is missing.",
        "prod.yaml:4:9: metadata.name: must not be empty.",
        "prod.yaml:6:3: spec.netwrok: unknown key. Did you mean 'network'?",
        "prod.yaml:8:18: spec.network.defaultDeny: must be true or false, found 'yes'. Did you mean true?",
        "prod.yaml:9:27: spec.network.disallowedPorts[1]: must be at least 1, found 0.",
        "prod.yaml:12:5: spec.policyExemptions[1].reason: required key is missing.",
        "prod.yaml:12:12: spec.policyExemptions[1].name: 'a' is already the name of policyExemptions[0].",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "prod.yaml: the file is empty."),
        ("# nothing\n", "prod.yaml: the file is empty."),
        (
            "- a\n",
            "prod.yaml:1:1: must be a mapping with apiVersion and kind ClusterSpecification, found a list.",
        ),
        (
            "hello",
            "prod.yaml:1:1: must be a mapping with apiVersion and kind ClusterSpecification, found 'hello'.",
        ),
        ("a: 1", "prod.yaml:1:1: kind: required key is missing; allowed: ClusterSpecification."),
        (
            "apiVersion: kspec.dev/v1\nkind: Clusterspec",
            "prod.yaml:2:7: kind: 'Clusterspec' is not allowed; allowed: ClusterSpecification."
            " Did you mean 'ClusterSpecification'?",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment",
            "prod.yaml:2:7: kind: 'Deployment' is not allowed; allowed: ClusterSpecification.",
        ),
        (
            "apiVersion: kspec.dev/v2\nkind: ClusterSpecification",
            "prod.yaml:1:13: apiVersion: 'kspec.dev/v2' is not allowed; allowed: kspec.dev/v1,"
            " kspec.io/v1alpha1."
            " Did you mean 'kspec.dev/v1'?",
        ),
        (
            "kind: ClusterSpecification",
            "prod.yaml:1:1: apiVersion: required key is missing; allowed: kspec.dev/v1, kspec.io/v1alpha1.",
        ),
        (HEADER, "prod.yaml:1:1: spec: required key is missing."),
        (
            HEADER.replace("name: a", "name: null") + "spec: {}\n",
            "prod.yaml:3:12: metadata.name: required key is missing.",
        ),
        (HEADER + "spec:\n", "prod.yaml:4:1: spec: has no value: add a value or remove the key."),
        (HEADER + "spec: []\n", "prod.yaml:4:7: spec: must be an object, found a list."),
        (HEADER + "spec: {}\nspecs: {}\n", "prod.yaml:5:1: specs: unknown key. Did you mean 'spec'?"),
        (
            HEADER + "spec: {}\n---\nspec: {}\n",
            "prod.yaml:5:1: a second document starts here: a file must contain one document.",
        ),
        (
            HEADER + "spec:\n  network: {}\n  network: {}\n",
            "prod.yaml:6:3: spec.network: this key is already defined at line 5.",
        ),
        (
            HEADER + "spec: {a: [}\n",
            "prod.yaml:4:12: not valid YAML: while parsing a flow node, did not find expected node content.",
        ),
        (
            HEADER.replace("1.0.0", "first") + "spec: {}\n",
            "prod.yaml:3:30: metadata.version: 'first' is not a version; write it as 1.2.3.",
        ),
    ],
)
def test_document(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_a_wrong_header_hides_no_other_error() -> None:
    assert problems(
        "apiVersion: kspec.dev/v2\nkind: ClusterSpecifcation\nmetadata: {name: a}\nspec:\n"
        "  netwrok: {}\n  kubernetes: {minVersion: '1.35', maxVersion: '1.30', excludedVersions: [x]}\n"
    ) == [
        "prod.yaml:1:13: apiVersion: 'kspec.dev/v2' is not allowed; allowed: kspec.dev/v1,"
        " kspec.io/v1alpha1. Did you mean 'kspec.dev/v1'?",
        "prod.yaml:2:7: kind: 'ClusterSpecifcation' is not allowed; allowed: ClusterSpecification."
        " Did you mean 'ClusterSpecification'?",
        "prod.yaml:5:3: spec.netwrok: unknown key. Did you mean 'network'?",
        "prod.yaml:6:48: spec.kubernetes.maxVersion: minVersion 1.35 is above maxVersion 1.30.",
        "prod.yaml:6:75: spec.kubernetes.excludedVersions[0]: 'x' is not a Kubernetes version:"
        " write 1.34 or 1.34.1.",
    ]
    assert problems("apiVersion: kspec.dev/v1\nspec: {a: 1}\n") == [
        "prod.yaml:1:1: kind: required key is missing.",
        "prod.yaml:1:1: metadata: required key is missing.",
        "prod.yaml:2:8: spec.a: unknown key. Allowed here: kubernetes, podSecurity, network, workloads, rbac,"
        " admission, observability, compliance, checks, annotationExemptions, policyExemptions, clusterRef,"
        " clusterSelector, enforcement, webhooks, policyTemplate, policyInheritance, namespaceScope,"
        " timeBasedActivation.",
    ]
    assert problems("apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: 1}\n") == [
        "prod.yaml:2:7: kind: 'Deployment' is not allowed; allowed: ClusterSpecification."
    ]


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


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("resources: [{}]", "s.yaml:2:36: policyExemptions[0].resources[0]: an empty selector would match"
        " every"
         " object; name a kind, name, namespace or labelSelector."),
        ("approver: me", "s.yaml:2:3: policyExemptions[0]: this would exempt everything:"
         " name checks, namespaces, resources or containers."),
        ("clusters: [dev]", "s.yaml:2:3: policyExemptions[0]: this would exempt everything:"
         " name checks, namespaces, resources or containers."),
        ("checks: ['*'], namespaces: ['**']", "s.yaml:2:3: policyExemptions[0]: its patterns match every name,"
         " so this would exempt everything:"
         " name checks, namespaces, resources or containers."),
        ("resources: [{kind: ClusterRole, namespace: a}]", "s.yaml:2:36: policyExemptions[0].resources[0]:"
         " a ClusterRole has no namespace, so this can never match."),
        ("resources: [{kind: Namespace, namespace: a}]", "s.yaml:2:36: policyExemptions[0].resources[0]:"
         " a Namespace has no namespace, so this can never match. Select it by name."),
        ("resources: [{kind: deployment}]", "s.yaml:2:43: policyExemptions[0].resources[0].kind:"
        " 'deployment' is not a"
         " kind; kinds are written as in manifests, without wildcards. Did you mean 'Deployment'?"),
        ("namespaces: [a, b-*], resources: [{namespace: c}]", "s.yaml:2:58: policyExemptions[0].resources[0]:"
         " 'c' is in none of the namespaces, so it can never match."),
        ("namespaces: [a], resources: [{namespace: 'b-*'}]", "s.yaml:2:53: policyExemptions[0].resources[0]:"
         " 'b-*' is in none of the namespaces, so it can never match."),
        ("namespaces: [a], resources: [{kind: Node}]", "s.yaml:2:53: policyExemptions[0].resources[0]:"
         " a Node is in none of the namespaces, so it can never match."),
        ("namespaces: [Prod]", "s.yaml:2:37: policyExemptions[0].namespaces[0]: 'Prod' is not a valid namespace"
         " name, so it can never match. Did you mean 'prod'?"),
        ("namespaces: [a_b]", "s.yaml:2:37: policyExemptions[0].namespaces[0]: 'a_b' is not a valid namespace"
         " name, so it can never match."),
        ("resources: [{namespace: 'x y'}]", "s.yaml:2:48: policyExemptions[0].resources[0].namespace: 'x y'"
         " is not a valid namespace name, so it can never match."),
        ("resources: [{kind: Pod, name: shop/web}]", "s.yaml:2:54: policyExemptions[0].resources[0].name:"
         " 'shop/web' is not a valid object name, so it can never match."),
        ("containers: ['*', app/x]", "s.yaml:2:42: policyExemptions[0].containers[1]: 'app/x' is not a valid container"
         " name, so it can never match."),
        ("resources: [{labelSelector: {'bad key!': x}}]", "s.yaml:2:37:"
         " policyExemptions[0].resources[0].labelSelector: 'bad key!' is not a valid label key, so it can"
         " never match."),
        ("resources: [{labelSelector: {app: '-'}}]", "s.yaml:2:37:"
         " policyExemptions[0].resources[0].labelSelector: '-' is not a valid label value, so it can never"
         " match."),
        ("containers: [app], resources: [{kind: Service}]", "s.yaml:2:3: policyExemptions[0]:"
         " Service has no containers, so this can never match."),
        ("checks: [a.b], expiresAt: 2027-02-29", "s.yaml:2:50: policyExemptions[0].expiresAt:"
        " '2027-02-29' is not a"
         " date; write 2027-03-31, 2027-03-31T18:00:00 or 2027-03-31T18:00:00+02:00."),
        ("checks: [a.b], timezone: UTC", "s.yaml:2:3: policyExemptions[0]: timezone has no effect without"
        " expiresAt."),
        ("checks: [a.b], expiresAt: '2027-01-01T00:00:00Z', timezone: UTC", "s.yaml:2:3: policyExemptions[0]:"
         " expiresAt has a UTC offset, so timezone has no effect: remove one of them."),
        ("checks: [a.b], expiresAt: 2027-01-01, timezone: Europe/Berln", "s.yaml:2:72:"
         " policyExemptions[0].timezone: 'Europe/Berln' is not an IANA time zone such as Europe/Berlin."
         " Did you mean 'Europe/Berlin'?"),
    ],
)  # fmt: skip
def test_exemption(keys: str, expected: str) -> None:
    assert exemption_problems(keys) == [expected]


def test_an_exemption_needs_a_reason() -> None:
    assert part_problems(
        "policyExemptions: [{name: a, reason: '  ', checks: [a.b]}, {name: b, checks: [a.b]}]"
    ) == [
        "s.yaml:1:38: policyExemptions[0].reason: must not be empty.",
        "s.yaml:1:60: policyExemptions[1].reason: required key is missing.",
    ]


def test_merge_strategies() -> None:
    assert part_problems("policyInheritance: {basePolicies: [a], mergeStrategy: replace}") == [
        "s.yaml:1:55: policyInheritance.mergeStrategy: 'replace' is not allowed; allowed: merge,"
        " override, append."
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            "enabled: true",
            "s.yaml:1:1: timeBasedActivation: enabled without activePeriods or schedule would never be active.",
        ),
        (
            "activePeriods: [{daysOfWeek: [wednesday]}]",
            "s.yaml:1:53: timeBasedActivation.activePeriods[0].daysOfWeek[0]: 'wednesday' is not allowed;"
            " allowed:"
            " Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday. Did you mean 'Wednesday'?",
        ),
        (
            "activePeriods: [{startTime: 9:00, endTime: 17:00}]",
            "s.yaml:1:51: timeBasedActivation.activePeriods[0].startTime: '9:00' is not a time of day;"
            " write HH:MM from 00:00 to 23:59. Did you mean '09:00'?",
        ),
        (
            "activePeriods: [{startTime: 09:00}]",
            "s.yaml:1:39: timeBasedActivation.activePeriods[0]: startTime and endTime must be set together.",
        ),
        (
            "activePeriods: [{startTime: 09:00, endTime: 09:00}]",
            "s.yaml:1:39: timeBasedActivation.activePeriods[0]:"
            " startTime and endTime are equal, so the period is empty.",
        ),
        (
            "activePeriods: [{}]",
            "s.yaml:1:39: timeBasedActivation.activePeriods[0]:"
            " an empty period has no effect: set times, days or dates.",
        ),
        (
            "timezone: Mars/Olympus",
            "s.yaml:1:33: timeBasedActivation.timezone:"
            " 'Mars/Olympus' is not an IANA time zone such as Europe/Berlin.",
        ),
        (
            "schedule: 0 9 * *",
            "s.yaml:1:33: timeBasedActivation.schedule: '0 9 * *' is not a cron schedule:"
            " it has 4 fields instead of 5.",
        ),
    ],
)
def test_w65_time_windows_that_could_never_be_active_are_errors(keys: str, expected: str) -> None:
    """The predecessor took them, and the policy was silently never enforced."""
    assert part_problems(f"timeBasedActivation: {{{keys}}}") == [expected]


def test_w65_a_period_over_midnight_is_valid() -> None:
    loaded = spec_from_part(
        "timeBasedActivation: {enabled: true, activePeriods: [{startTime: 22:00, endTime: 06:00}]}"
    )
    assert loaded.get("timeBasedActivation.activePeriods[0].endTime") == "06:00"


def test_w86_typos_are_errors() -> None:
    """The predecessor called this file valid."""
    assert part_problems(
        "netwrok: {defaultDeny: true}\n"
        "network: {defaultDenyIngress: true}\n"
        "podSecurity:\n"
        "  enforce: baseline\n"
        "  exemptions: [{namespace: a, level: priviledged}]\n"
        "admission:\n"
        "  required:\n"
        "  - {type: kyverno, namePattern: '[', minCount: -1}\n"
    ) == [
        "s.yaml:1:1: netwrok: unknown key. Did you mean 'network'?",
        "s.yaml:2:11: network.defaultDenyIngress: unknown key. Did you mean 'defaultDeny'?",
        "s.yaml:5:38: podSecurity.exemptions[0].level: 'priviledged' is not allowed;"
        " allowed: privileged, baseline, restricted. Did you mean 'privileged'?",
        "s.yaml:8:12: admission.required[0].type: 'kyverno' is not allowed; allowed:"
        " ValidatingWebhookConfiguration,"
        " MutatingWebhookConfiguration, ValidatingAdmissionPolicy, MutatingAdmissionPolicy.",
        "s.yaml:8:34: admission.required[0].namePattern: '[' is not a regular expression (RE2 syntax):"
        " missing ]: [.",
        "s.yaml:8:49: admission.required[0].minCount: must be at least 0, found -1.",
    ]
