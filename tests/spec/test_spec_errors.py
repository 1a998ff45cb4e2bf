"""Every class of mistake in a file, with its exact line: file:line:column: key path: what, what is allowed."""

from __future__ import annotations

import pytest

from tests.spec.refused import HEADER, part_problems, problems


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


def test_typos_are_errors() -> None:
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
