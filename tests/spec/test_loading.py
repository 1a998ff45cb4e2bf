"""Loading specifications: files, custom resources, what is where, what is not evaluated, finding files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.errors import SpecError, UsageError
from pytest_kspec.spec.loading import LoadedSpec, find_specs, load_spec, spec_from_part, spec_from_text

DATA = Path(__file__).parent / "data" / "specs"
EXAMPLES = Path(__file__).parents[2] / "examples" / "specs"
HEADER = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: a, version: 1.0.0}\n"


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("minimal", []),
        ("moderate", []),
        ("strict", []),
        ("comprehensive", []),
    ],
)
def test_the_predecessors_specifications_load_unchanged(name: str, left_out: list[str]) -> None:
    loaded = load_spec(DATA / f"{name}.yaml")
    assert loaded.name == f"{name}-cluster"
    assert [n.key for n in loaded.not_evaluated] == left_out


def test_all_of_the_strict_specification() -> None:
    loaded = load_spec(DATA / "strict.yaml")
    spec = loaded.spec
    assert (loaded.version, loaded.description) == ("1.0.0", "Hardened production cluster")
    assert loaded.labels == {"environment": "production", "compliance": "cis"}
    assert (loaded.cluster_ref, loaded.checks, loaded.exemptions) == ("", (), [])
    assert spec.kubernetes
    assert spec.kubernetes.min_version == "1.27.0"
    assert spec.kubernetes.excluded_versions == ["1.28.0", "1.28.1"]
    assert spec.pod_security
    assert spec.pod_security.version is None
    assert [(e.namespace, e.level, e.expires) for e in spec.pod_security.exemptions] == [
        ("kube-system", "privileged", None),
        ("monitoring", "baseline", None),
    ]
    assert spec.network
    assert spec.network.disallowed_ports == [22, 23, 3389]
    assert spec.workloads
    assert spec.workloads.containers
    assert spec.workloads.images
    assert [(r.key, r.value, r.exists) for r in spec.workloads.containers.required][2:5] == [
        ("securityContext.readOnlyRootFilesystem", "true", None),
        ("resources.limits.memory", None, True),
        ("resources.limits.cpu", None, True),
    ]
    assert [r.value for r in spec.workloads.containers.forbidden] == ["true", True, True, True]
    assert spec.workloads.images.require_signatures is True
    assert spec.rbac
    assert [(r.api_group, r.resource, r.verbs) for r in spec.rbac.forbidden_rules] == [
        ("*", "*", ["*"]),
        ("", "secrets", ["get", "list"]),
    ]
    assert spec.admission
    assert spec.admission.policies
    assert [p.name for p in spec.admission.policies.required_policies] == [
        "require-run-as-non-root",
        "disallow-privileged-containers",
    ]
    assert loaded.get("observability.logging.auditLog.minRetentionDays") == 90
    assert loaded.get("compliance.frameworks[0].controls[0].mappings[0].check") == "workload.privileged"


def test_locations() -> None:
    loaded = load_spec(str(DATA / "minimal.yaml"))
    path = str(DATA / "minimal.yaml")
    assert loaded.path == path
    assert loaded.locate("podSecurity.enforce") == f"{path}:12:5"
    assert loaded.locate("podSecurity.version") == f"{path}:11:3"
    assert loaded.locate("workloads.containers.required[0]") == f"{path}:7:1"
    assert loaded.locate("") == f"{path}:7:1"


def test_get_knows_only_what_is_written() -> None:
    loaded = spec_from_part(
        "network: {disallowedPorts: [22]}\nadmission: {required: [{type: ValidatingAdmissionPolicy}]}"
    )
    assert loaded.get("network.disallowedPorts") == [22]
    assert loaded.get("network.disallowedPorts[0]") == 22
    assert loaded.get("network.disallowedPorts[1]") is None
    assert loaded.get("network.defaultDeny") is None
    assert loaded.get("network.no.such") is None
    assert loaded.get("network.disallowed_ports") is None
    assert loaded.get("admission.required[0].minCount") is None
    assert loaded.spec.admission
    assert loaded.spec.admission.required[0].min_count == 1


def test_a_custom_resource_as_an_api_server_returns_it() -> None:
    loaded = spec_from_text(
        "apiVersion: kspec.io/v1alpha1\n"
        "kind: ClusterSpecification\n"
        "metadata:\n"
        "  name: prod\n"
        "  uid: 0a\n"
        "  generation: 2\n"
        "  creationTimestamp: null\n"
        "  annotations: {a: b}\n"
        "  finalizers: [kspec.io/finalizer]\n"
        "  managedFields: [{manager: x}]\n"
        "spec:\n"
        "  kubernetes: {minVersion: 1.30, maxVersion: '1.34'}\n"
        "  clusterRef: {name: prod-eu, namespace: kspec-system}\n"
        "  enforcement: {enabled: true, mode: audit}\n"
        "  webhooks: {enabled: true, failurePolicy: Fail, timeoutSeconds: 5, certificate: {issuer: ca}}\n"
        "  policyExemptions:\n"
        "  - {name: a, reason: r, expiresAt: 2027-01-01T00:00:00Z, approver: me, namespaces: [b],\n"
        "     resources: [{kind: Pod, name: c, labelSelector: {d: e}}]}\n"
        "status: {phase: Active, conditions: [{type: Ready}], message: null}\n",
        "cr.yaml",
    )
    assert (loaded.name, loaded.version, loaded.cluster_ref) == ("prod", "", "target:kspec-system/prod-eu")
    assert [loaded.is_for(name) for name in ("prod-eu", "prod", "")] == [True, False, False]
    assert loaded.spec.kubernetes
    assert loaded.spec.kubernetes.min_version == "1.30"
    assert [(n.key, n.location) for n in loaded.not_evaluated] == [
        ("enforcement", "cr.yaml:14:3"),
        ("webhooks", "cr.yaml:15:3"),
    ]
    assert [(e.name, e.location) for e in loaded.exemptions] == [("a", "cr.yaml:17:5")]


def test_a_custom_resource_has_no_keys_that_an_api_server_refuses() -> None:
    text = "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpecification\n"
    text += "metadata: {name: a, version: 1.0.0, description: b}\nspec: {}\n"
    with pytest.raises(SpecError) as error:
        spec_from_text(text, "f")
    assert [line.split(": not allowed in a custom resource")[0] for line in error.value.problems] == [
        "f:3:21: metadata.version",
        "f:3:37: metadata.description",
    ]


def test_a_custom_resource_may_not_hold_unknown_keys_either() -> None:
    text = "apiVersion: kspec.io/v1alpha1\nkind: ClusterSpecification\nmetadata: {name: a}\n"
    text += "spec: {targetClusterRef: a}"
    with pytest.raises(
        SpecError, match=r"^f:4:8: spec.targetClusterRef: unknown key. Did you mean 'clusterRef'\?$"
    ):
        spec_from_text(text, "f")


def test_a_json_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(
        '{"apiVersion": "kspec.dev/v1", "kind": "ClusterSpecification",\n'
        '\t"metadata": {"name": "a", "version": "1.0.0"},\n'
        '\t"spec": {"network": {"defaultDeny": true}}}\n'
    )
    loaded = load_spec(file)
    assert loaded.get("network.defaultDeny") is True
    assert loaded.locate("network.defaultDeny") == f"{file}:3:23"


def test_paths_in_a_specification_are_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "prod").mkdir(parents=True)

    def loaded(ref: str) -> LoadedSpec:
        file = tmp_path / "spec.yaml"
        file.write_text(HEADER + f"spec: {{clusterRef: '{ref}', checks: [checks/a.py, /abs/b.py]}}\n")
        return load_spec(file)

    assert loaded("snapshots/prod").cluster_ref == str(tmp_path / "snapshots" / "prod")
    assert loaded("./snapshots/prod").cluster_ref == str(tmp_path / "snapshots" / "prod")
    assert (
        loaded("snapshots").cluster_ref == "snapshots"
    )  # a context may be called so: "./snapshots" is the path
    assert loaded("arn:aws:eks:eu:1:cluster/prod").cluster_ref == "arn:aws:eks:eu:1:cluster/prod"
    assert loaded("x").checks == (tmp_path / "checks" / "a.py", Path("/abs/b.py"))


def test_plain_data() -> None:
    loaded = spec_from_part({"network": {"defaultDeny": True, "requiredPolicies": None}}, name="n")
    assert (loaded.name, loaded.get("network.defaultDeny"), loaded.locate("network")) == (
        "n",
        True,
        "<spec>:1:1",
    )
    with pytest.raises(SpecError) as caught:
        spec_from_part({"network": {"defaultDeny": "yes"}, "a": 1})
    assert caught.value.problems == (
        "<spec>:1:1: a: unknown key. Allowed here: kubernetes, podSecurity, network, workloads, rbac,"
        " admission, observability, compliance, checks, annotationExemptions, policyExemptions, clusterRef,"
        " clusterSelector, enforcement, webhooks, policyTemplate, policyInheritance, namespaceScope,"
        " timeBasedActivation.",
        "<spec>:1:1: network.defaultDeny: must be true or false, found 'yes'. Did you mean true?",
    )


def test_numbers_as_text() -> None:
    loaded = spec_from_text(HEADER.replace("name: a", "name: 7").replace("1.0.0", "1.10") + "spec: {}", "f")
    assert (loaded.name, loaded.version) == ("7", "1.10")


def test_find_specs(tmp_path: Path) -> None:
    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
        return file

    spec = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\n"
    b, a = write("specs/b.yaml", spec), write("specs/a.yml", "kind: 'ClusterSpecification'  # quoted\n")
    inner = write("specs/eu/c.yaml", spec + "broken: [")
    write("specs/values.yaml", "kind: Deployment\n")
    write("specs/exemptions.yaml", "kind: Exemptions\n")
    write("specs/crd.yaml", "kind: CustomResourceDefinition\nspec: {names: {kind: ClusterSpecification}}\n")
    write("specs/text.txt", spec)
    other = write("other.json", "{}")
    folder = str(tmp_path / "specs")
    assert find_specs([folder]) == [a, b, inner]
    assert find_specs([str(b), folder, str(other)]) == [other, a, b, inner]
    assert find_specs([str(tmp_path / "specs" / "?.y*ml")]) == [a, b]
    assert find_specs([str(tmp_path / "**" / "c.yaml")]) == [inner]
    with pytest.raises(UsageError, match="no specification \\(kind: ClusterSpecification\\) in this folder"):
        find_specs([str(write("empty/x.yaml", "a: 1").parent)])
    for missing in ("no.yaml", "*.nothing"):
        with pytest.raises(UsageError, match="the specification does not exist"):
            find_specs([str(tmp_path / missing)])


def test_a_file_that_is_named_is_read_whatever_it_is(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("apiVersion: apps/v1\nkind: Deployment\n")
    assert find_specs([str(file)]) == [file]
    with pytest.raises(SpecError, match="kind: 'Deployment' is not allowed"):
        load_spec(file)


@pytest.mark.parametrize("path", find_specs([str(EXAMPLES)]), ids=lambda path: path.name)
def test_examples_load(path: Path) -> None:
    assert load_spec(path).name
