"""The custom resources on a real API server: established, without warnings, and they accept what they should."""

import base64
import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kspec.crds.schema import validations
from pytest_kspec.crds.schema.definitions import DEFINITIONS, Definition, find, manifest, to_yaml
from pytest_kspec.errors import Refused
from pytest_kspec.spec.loading import is_spec_file
from pytest_kspec.yamlfiles.reading import parse_document, read_document
from tests.crds.conftest import CRD, Cluster
from tests.crds.samples import FOLDER, problem, sample
from tests.docs.pages import PAGES, ROOT, Page

KINDS = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.kind)


@KINDS
def test_established_and_structural(cluster: Cluster, definition: Definition) -> None:
    cluster.warnings.clear()
    made = cluster.writer.apply(manifest(definition))
    assert cluster.warnings == []
    conditions = {c["type"]: c["status"] for c in made["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert cluster.writer.get(*CRD, definition.name)["metadata"]["generation"] == 1  # applied again: the same


@KINDS
def test_samples_are_accepted_whole(cluster: Cluster, definition: Definition) -> None:
    cluster.warnings.clear()
    given = sample(definition)
    assert problem(definition, given["spec"]) == ""
    made = cluster.writer.apply(given, dry_run=True)
    assert cluster.warnings == []
    assert _without_defaults(made["spec"], given["spec"]) == given["spec"]
    assert problem(definition, made["spec"]) == ""  # with the server's defaults too


def _without_defaults(made: Any, given: Any) -> Any:
    if isinstance(made, dict) and isinstance(given, dict):
        return {key: _without_defaults(value, given[key]) for key, value in made.items() if key in given}
    if isinstance(made, list) and isinstance(given, list) and len(made) == len(given):
        return [_without_defaults(a, b) for a, b in zip(made, given, strict=True)]
    return made


def test_every_sample_is_of_a_kind() -> None:
    kinds = {read_document(path).data["kind"] for path in FOLDER.glob("*.yaml")}
    assert kinds == {d.kind for d in DEFINITIONS}


def specifications() -> list[tuple[str, Any]]:
    """(place, `spec:` part) of every specification of the examples and pages."""
    found = [
        (str(path.relative_to(ROOT)), read_document(path).data)
        for path in sorted((ROOT / "examples").rglob("*.yaml"))
        if is_spec_file(path)
    ]
    for page in (Page(path) for path in PAGES):
        for number, body in enumerate(page.blocks("yaml")):
            if re.search(r"^kind: ClusterSpecification$", body, re.MULTILINE):
                found.append((f"{page.name}#{number}", parse_document(body, page.name).data))
    return [(place, data["spec"]) for place, data in found]


@pytest.mark.parametrize(("place", "spec"), specifications())
def test_what_files_say_a_custom_resource_can_say(cluster: Cluster, place: str, spec: dict[str, Any]) -> None:
    of_files = {"checks"} | ({"clusterRef"} if isinstance(spec.get("clusterRef"), str) else set())
    made = {**sample(DEFINITIONS[1]), "spec": {k: v for k, v in spec.items() if k not in of_files}}
    cluster.warnings.clear()
    cluster.writer.create({**made, "metadata": {"name": "of-a-file"}}, dry_run=True)
    assert cluster.warnings == []


def test_enough_specifications_were_found() -> None:
    places = [place for place, _ in specifications()]
    assert len(places) > 5
    assert any(place.startswith("docs/") for place in places)


@pytest.fixture
def samples_put(cluster: Cluster) -> Iterator[Cluster]:
    samples = [sample(definition) for definition in DEFINITIONS]
    for one in samples:
        cluster.writer.apply(one)
    yield cluster
    for one in samples:
        namespace = one["metadata"].get("namespace", "")
        cluster.writer.delete(one["apiVersion"], one["kind"], one["metadata"]["name"], namespace=namespace)


def test_short_names_and_columns(samples_put: Cluster) -> None:
    cluster = samples_put
    rows = {}
    for definition in DEFINITIONS:
        namespace = "/namespaces/kspec-system" if definition.namespaced else ""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        path = f"/apis/kspec.io/v1alpha1{namespace}/{definition.plural}"
        table = cluster.plane.request("GET", path, headers=accept).body
        cells = zip(table["columnDefinitions"], table["rows"][0]["cells"], strict=True)
        rows[definition.kind] = {c["name"]: cell for c, cell in cells if c["priority"] == 0}
    del rows["ClusterTarget"]["Age"]
    assert list(rows["ClusterSpecification"]) == ["Name", "Phase", "Score", "Last Scan", "Age"]
    assert rows["ClusterTarget"] == {
        "Name": "prod-eu",
        "API Server": "https://prod-eu.example.com:6443",
        "Reachable": None,
        "Version": None,
        "Platform": None,
    }
    report = rows["ComplianceReport"]
    assert (report["Cluster"], report["Cluster Spec"], report["Pass Rate"]) == ("prod-eu", "production", 50)
    assert rows["DriftReport"]["Drift"] is True
    assert rows["AlertConfig"]["Webhooks"] == "pager"
    names = cluster.plane.request("GET", "/apis/kspec.io/v1alpha1").body["resources"]
    short = {r["kind"]: r.get("shortNames") for r in names if "/" not in r["name"]}
    assert short == {
        "ClusterSpecification": ["clusterspec", "cspec"],
        "ClusterTarget": ["ct"],
        "ComplianceReport": ["cr"],
        "DriftReport": ["dr"],
        "AlertConfig": ["ac"],
        "DriftConfig": ["dc"],
    }


MAIL = {"host": "mail.example.com", "from": "kspec@example.com", "to": ["oncall@example.com"]}
LOGIN = {"username": "u", "passwordSecretRef": {"name": "mail"}}
TEMPLATED = {"name": "x", "url": "https://x/y", "template": "{}", "format": "cloudevents"}
BAD: dict[str, list[Any]] = {
    "ClusterSpecification": [
        ("kubernetes.minVersion", "1.38", "minVersion is above maxVersion"),
        ("kubernetes.minVersion", "1.37.1-gke", ""),
        ("kubernetes.minVersion", 1.3, "expected string"),
        ("podSecurity", {"version": "latest"}, "has no effect: set enforce, audit or warn"),
        ("podSecurity.enforce", "strict", "Unsupported value"),
        ("network.disallowedPorts", [0], "greater than or equal to 1"),
        (
            "workloads.containers.required",
            [{"key": "hostPID", "value": "x", "exists": False}],
            "must not validate",
        ),
        ("workloads.containers.required", [{"key": "hostPID", "value": {"a": 1}}], "Too many: 1"),
        ("workloads.images.signatures.0", {"images": ["a.example.com"]}, "has no signer"),
        (
            "workloads.images.signatures.0.identities.0",
            {"issuer": "https://a.example.com"},
            "set either subject or subjectRegExp",
        ),
        (
            "workloads.images.signatures.0",
            {
                "publicKeys": ["-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"],
                "trustedRoot": "{}",
            },
            "has no effect without identities",
        ),
        ("enforcement.mode", "block", "Unsupported value"),
        ("webhooks.timeoutSeconds", 31, "less than or equal to 30"),
        ("clusterRef", "prod", "expected map"),
        ("policyExemptions.0.expiresAt", "2027-02-30", "must be a day that the calendar has"),
        ("policyExemptions.0.expiresAt", "soon", "should match"),
        ("policyExemptions.0", {"name": "x", "reason": "y"}, "this would exempt everything"),
        ("policyExemptions.0.resources", [{}], "an empty selector would match every object"),
        ("checks", ["checks"], "field not declared in schema"),
        ("policyExemptions.0.timezone", "UTC", "expiresAt has a UTC offset"),
        ("podSecurity.exemptions.0.expiresAt", None, ""),
        (
            "policyExemptions.0",
            {"name": "x", "reason": "y", "checks": ["a"], "timezone": "UTC"},
            "without expiresAt",
        ),
        (
            "policyExemptions.0",
            {"name": "x", "reason": "y", "containers": ["a"], "resources": [{"kind": "Service"}]},
            "none of these resources has containers",
        ),
        (
            "policyExemptions.0",
            {"name": "x", "reason": "y", "namespaces": ["a"], "resources": [{"kind": "Node"}]},
            "one of the resources is in no namespace",
        ),
        ("policyExemptions.0.resources.0.kind", "ClusterRole", "an object of this kind has no namespace"),
        (
            "namespaceScope.namespaceSelector.matchExpressions.0.operator",
            "In",
            "In and NotIn take at least one value",
        ),
        (
            "clusterSelector",
            {"matchLabels": {"env": "prod"}},
            "clusterRef and clusterSelector cannot be combined",
        ),
        (
            "namespaceScope.namespaceSelector.matchExpressions.0.key",
            "not a key",
            "should match",
        ),
        (
            "namespaceScope",
            {"includeNamespaces": ["a"], "excludeNamespaces": ["a"]},
            "leaves no namespace in scope",
        ),
        ("timeBasedActivation.activePeriods.0.startTime", None, "startTime and endTime must be set together"),
        ("timeBasedActivation.activePeriods.0.endTime", "08:00", "startTime and endTime are equal"),
        ("timeBasedActivation.activePeriods.0", {}, "an empty period has no effect"),
        ("timeBasedActivation.schedule", "@daily", "must be set together"),
        ("netwrok", {}, "field not declared in schema"),
        ("timeBasedActivation.activePeriods", [], "would never be active"),
        ("namespaceScope.excludeNamespaces", ["*"], "leaves no namespace in scope"),
        ("rbac.forbiddenRules.0.apiGroup", "core", "must not validate"),
    ],
    "ClusterTarget": [
        ("authMode", "serviceAccount", "authMode serviceAccount needs serviceAccountSecretRef"),
        ("tokenSecretRef", None, "authMode token needs tokenSecretRef"),
        ("apiServerURL", "prod-eu", "should match"),
        ("authMode", "password", "Unsupported value"),
        ("authMode", "kubeconfig", "authMode kubeconfig needs kubeconfigSecretRef"),
        ("authMode", "clientCertificate", "authMode clientCertificate needs clientCertificateSecretRef"),
        ("authMode", "provider", "authMode provider needs credentialProvider"),
        ("tokenSecretRef.store", "file", "store must not be file."),
        ("insecureSkipTLSVerify", True, "caData has no effect"),
        ("scanInterval", "often", "should match"),
    ],
    "ComplianceReport": [
        ("results.0.status", "fail", "Unsupported value"),
        ("summary.passRate", 101, "less than or equal to 100"),
        ("scanTime", "today", "must be of type date-time"),
    ],
    "DriftReport": [
        ("events.0.driftType", "gone", "Unsupported value"),
        ("events.0.type", "policy", "Unsupported value"),
        ("severity", "High", "Unsupported value"),
    ],
    "AlertConfig": [
        ("slack", {"channel": "#x"}, "webhookURL or webhookURLSecretRef must be set"),
        ("webhooks.0", {"name": "x"}, "url or urlSecretRef must be set"),
        ("webhooks.0.retryAttempts", 11, "less than or equal to 10"),
        ("webhooks.0.timeoutSeconds", 0, "greater than or equal to 1"),
        ("webhooks.0.method", "DELETE", "Unsupported value"),
        ("webhooks.0.name", "slack", "name must not be one of slack, pagerduty, email, alertmanager"),
        ("webhooks.0", TEMPLATED, "template and format cannot both be set"),
        (
            "slack.webhookURLSecretRef",
            {"name": "a", "env": "B"},
            "exactly one of name, env and file must be set",
        ),
        ("slack.webhookURLSecretRef", {"key": "a"}, "exactly one of name, env and file must be set"),
        ("email", MAIL | {"username": "u"}, "username and passwordSecretRef must be set together"),
        ("email", MAIL | LOGIN | {"tls": "none"}, "a password is not sent without TLS"),
        ("email", MAIL | {"from": "a@b\nBcc: x@y"}, "should match"),
        ("email", MAIL | {"to": []}, "at least 1 items"),
    ],
    "DriftConfig": [
        ("interval", "5m", "interval and schedule cannot be combined"),
        ("remediation.strategy", "Fix", "Unsupported value"),
        ("ignore", [{"reason": "x"}], "an empty entry would ignore everything"),
        ("retention.maxReports", 0, "greater than or equal to 1"),
        ("configuration", {"kinds": ["Role"]}, "the baseline Snapshot needs snapshotRef"),
    ],
}


@KINDS
def test_bad_ones_are_refused_by_both(cluster: Cluster, definition: Definition) -> None:
    for path, value, text in BAD[definition.kind]:
        obj = copy.deepcopy(sample(definition))
        _put(obj["spec"], path.split("."), value)
        if not text:
            cluster.writer.apply(obj, dry_run=True)
            continue
        with pytest.raises(Refused, match=text):
            cluster.writer.apply(obj, dry_run=True)
        if value != 1.3 and path not in ("clusterRef", "checks"):
            assert problem(definition, obj["spec"]), (path, value)


def _put(data: Any, path: list[str], value: Any) -> None:
    *parents, last = path
    for part in parents:
        data = data[int(part)] if isinstance(data, list) else data.setdefault(part, {})
    if value is None:
        del data[last]
    elif isinstance(data, list):
        data[int(last)] = value
    else:
        data[last] = value


AUTHORITIES = "-----BEGIN CERTIFICATE-----\n" + "MIIF" * 18_000 + "\n-----END CERTIFICATE-----\n"
"""As long as some fifty authorities; one alone is over 512 characters."""


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("AlertConfig", "email", MAIL | {"caBundle": AUTHORITIES}),
        ("ClusterTarget", "caData", base64.b64encode(AUTHORITIES.encode()).decode()),
    ],
)
def test_certificates_of_authorities_have_room(cluster: Cluster, kind: str, path: str, value: Any) -> None:
    definition = next(one for one in DEFINITIONS if one.kind == kind)
    obj = sample(definition)
    _put(obj["spec"], path.split("."), value)
    assert problem(definition, obj["spec"]) == ""
    cluster.writer.apply(obj, dry_run=True)


def test_every_rule_refuses_something() -> None:
    said = [text for cases in BAD.values() for _, _, text in cases if text]
    messages = {rule.message for rules in validations.RULES.values() for rule in rules}
    assert sorted(message for message in messages if not any(text in message for text in said)) == []


def test_names_are_found() -> None:
    for name in ("ClusterSpecification", "cspec", "CLUSTERSPECIFICATIONS", "clusterspecifications.kspec.io"):
        assert find(name) is DEFINITIONS[1]
    assert find("pod") is None


def test_the_same_bytes() -> None:
    once, again = (to_yaml([manifest(d) for d in DEFINITIONS]) for _ in range(2))
    assert once == again
    assert once.count("\n---\n") == len(DEFINITIONS) - 1
