"""What the models check across fields, said to the API server in CEL; and what it cannot be told.

A test compares the server's verdict with the models' on generated objects, so that neither side drifts away.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

from pytest_kspec.spec.exemption import CLUSTER_SCOPED, WITHOUT_CONTAINERS


class Rule(NamedTuple):
    """CEL of which `self` is an object of the model, and what is said when it is false."""

    rule: str
    message: str


MAX_ITEMS = {("ComplianceReportSpec", "results"): 4096}
"""Longest list of a model, by its key, where it is not that of all."""
FIELDS: dict[tuple[str, str], dict[str, Any]] = {}
MODELS: dict[str, dict[str, Any]] = {}


def _has(*names: str) -> list[str]:
    return [f"has(self.{name})" for name in names]


def _filled(name: str) -> str:
    """A list, map or text that is there and has something in it."""
    return f"(has(self.{name}) && size(self.{name}) > 0)"


def _number(field: str, index: int) -> str:
    return f"int(self.{field}.findAll('[0-9]+')[{index}])"


def _list(kinds: frozenset[str]) -> str:
    return "[" + ", ".join(f"'{kind}'" for kind in sorted(kinds)) + "]"


def _release(field: str) -> str:
    return f"({_number(field, 0)} * 1000000000 + {_number(field, 1)})"


_PATCH = "self.{0}.matches('^v?[0-9]+[.][0-9]+[.]')"
_PRE = "self.{0}.matches('-(alpha|beta|rc)')"
_MAX_PATCH, _MIN_PATCH = _PATCH.format("maxVersion"), _PATCH.format("minVersion")
_MIN_PATCH_NUMBER = f"({_MIN_PATCH} ? {_number('minVersion', 2)} : 0)"
_MAX_PATCH_NUMBER = _number("maxVersion", 2)
_OFFSET = "self.expiresAt.matches('(Z|z|[+-][0-9]{2}:[0-9]{2})$')"

_EXPIRING = (
    Rule("!has(self.timezone) || has(self.expiresAt)", "timezone has no effect without expiresAt."),
    Rule(
        f"!has(self.timezone) || !has(self.expiresAt) || !{_OFFSET}",
        "expiresAt has a UTC offset, so timezone has no effect: remove one of them.",
    ),
)

_NO_FILE = Rule("!has(self.store) || self.store != 'file'", "store must not be file.")
_OWN_NAME = Rule(
    "!(self.name in ['slack', 'pagerduty', 'email', 'alertmanager'])",
    "name must not be one of slack, pagerduty, email, alertmanager.",
)
RULES: dict[str, tuple[Rule, ...]] = {
    "Kubernetes": (
        Rule(
            f"!has(self.minVersion) || !has(self.maxVersion)"
            f" || {_release('minVersion')} < {_release('maxVersion')}"
            f" || ({_release('minVersion')} == {_release('maxVersion')} && (!({_MAX_PATCH})"
            f" || {_MIN_PATCH_NUMBER} < {_MAX_PATCH_NUMBER} || ({_MIN_PATCH_NUMBER} == {_MAX_PATCH_NUMBER}"
            f" && ({_PRE.format('minVersion')} || !{_PRE.format('maxVersion')}))))",
            "minVersion is above maxVersion.",
        ),
    ),
    "PodSecurity": (
        Rule(" || ".join(_has("enforce", "audit", "warn")), "has no effect: set enforce, audit or warn."),
    ),
    "PodSecurityExemption": _EXPIRING,
    "Exemption": (
        *_EXPIRING,
        Rule(
            " || ".join(
                [
                    _filled("resources"),
                    *(
                        f"({_filled(name)} && !self.{name}.exists(n, n == '*'))"
                        for name in ("checks", "namespaces", "containers")
                    ),
                ]
            ),
            "this would exempt everything: name checks, namespaces, resources or containers.",
        ),
        Rule(
            f"!{_filled('containers')} || !{_filled('resources')}"
            f" || self.resources.exists(r, !has(r.kind) || !(r.kind in {_list(WITHOUT_CONTAINERS)}))",
            "none of these resources has containers, so this can never match.",
        ),
        Rule(
            f"!{_filled('namespaces')} || !has(self.resources)"
            f" || self.resources.all(r, !has(r.kind) || r.kind == 'Namespace'"
            f" || !(r.kind in {_list(CLUSTER_SCOPED)}))",
            "one of the resources is in no namespace, so it can never match.",
        ),
    ),
    "ResourceSelector": (
        Rule(
            " || ".join([*_has("kind", "name", "namespace"), _filled("labelSelector")]),
            "an empty selector would match every object; name a kind, name, namespace or labelSelector.",
        ),
        Rule(
            f"!has(self.kind) || !has(self.namespace) || !(self.kind in {_list(CLUSTER_SCOPED)})",
            "an object of this kind has no namespace, so this can never match.",
        ),
    ),
    "SignerIdentity": (
        Rule("has(self.subject) != has(self.subjectRegExp)", "set either subject or subjectRegExp."),
    ),
    "ImageSigners": (
        Rule(
            f"{_filled('publicKeys')} || {_filled('identities')}",
            "has no signer: set publicKeys or identities.",
        ),
        Rule(
            f"!has(self.trustedRoot) || {_filled('identities')}",
            "trustedRoot: has no effect without identities.",
        ),
    ),
    "LabelRequirement": (
        Rule(
            f"(self.operator in ['In', 'NotIn']) == {_filled('values')}",
            "In and NotIn take at least one value, Exists and DoesNotExist none.",
        ),
    ),
    "ClusterSpecification": (
        Rule(
            "!has(self.clusterRef) || !has(self.clusterSelector)",
            "clusterRef and clusterSelector cannot be combined.",
        ),
    ),
    "NamespaceScope": (
        Rule(
            f"!{_filled('excludeNamespaces')} || !('*' in self.excludeNamespaces)",
            "excludeNamespaces leaves no namespace in scope.",
        ),
        Rule(
            f"!{_filled('excludeNamespaces')} || !{_filled('includeNamespaces')}"
            " || self.includeNamespaces.exists(n, n.contains('*') || n.contains('?')"
            " || !(n in self.excludeNamespaces))",
            "excludeNamespaces leaves no namespace in scope.",
        ),
    ),
    "ActivePeriod": (
        Rule(
            "has(self.startTime) == has(self.endTime)",
            "startTime and endTime must be set together.",
        ),
        Rule(
            "!has(self.startTime) || !has(self.endTime) || self.startTime != self.endTime",
            "startTime and endTime are equal, so the period is empty.",
        ),
        Rule(
            " || ".join(_has("startTime", "endTime", "daysOfWeek", "startDate", "endDate")),
            "an empty period has no effect: set times, days or dates.",
        ),
    ),
    "TimeBasedActivation": (
        Rule(
            "has(self.schedule) == has(self.duration)",
            "schedule (the start of a period) and duration (its length) must be set together.",
        ),
        Rule(
            f"!self.enabled || has(self.schedule) || {_filled('activePeriods')}",
            "enabled without activePeriods or schedule would never be active.",
        ),
    ),
    "ClusterTargetSpec": (
        *(
            Rule(f"self.authMode != '{mode}' || has(self.{name})", f"authMode {mode} needs {name}.")
            for mode, name in (
                ("kubeconfig", "kubeconfigSecretRef"),
                ("serviceAccount", "serviceAccountSecretRef"),
                ("token", "tokenSecretRef"),
                ("clientCertificate", "clientCertificateSecretRef"),
                ("provider", "credentialProvider"),
            )
        ),
        Rule(
            "!self.insecureSkipTLSVerify || !has(self.caData)",
            "caData has no effect with insecureSkipTLSVerify: remove one of them.",
        ),
    ),
    "SlackNotifier": (
        Rule(
            "!self.enabled || has(self.webhookURL) || has(self.webhookURLSecretRef)",
            "webhookURL or webhookURLSecretRef must be set.",
        ),
    ),
    "AlertSecretRef": (
        Rule(
            f"[{', '.join(map(_filled, ('name', 'env', 'file')))}].filter(one, one).size() == 1",
            "exactly one of name, env and file must be set.",
        ),
        _NO_FILE,
    ),
    "WebhookNotifier": (
        Rule("has(self.url) || has(self.urlSecretRef)", "url or urlSecretRef must be set."),
        _OWN_NAME,
        Rule(f"!{_filled('template')} || self.format == 'kspec'", "template and format cannot both be set."),
    ),
    "CustomNotifier": (_OWN_NAME,),
    "SecretKeyRef": (_NO_FILE,),
    "EmailNotifier": (
        Rule(
            f"{_filled('username')} == has(self.passwordSecretRef)",
            "username and passwordSecretRef must be set together.",
        ),
        Rule(
            f"!{_filled('username')} || self.tls != 'none'",
            "a password is not sent without TLS: set tls to starttls or implicit.",
        ),
    ),
    "RecordedObjects": (
        Rule(
            "has(self.baseline) && self.baseline == 'LastGoodRun' ? !has(self.snapshotRef) : has(self.snapshotRef)",
            "the baseline Snapshot needs snapshotRef, and LastGoodRun cannot be combined with it.",
        ),
    ),
    "DriftConfigSpec": (
        Rule(
            "!has(self.interval) || !has(self.schedule)",
            "interval and schedule cannot be combined.",
        ),
    ),
    "IgnoredDrift": (
        Rule(
            " || ".join(
                [
                    *(f"(has(self.{name}) && self.{name} != '')" for name in ("kind", "namespace", "name")),
                    _filled("fields"),
                ]
            ),
            "an empty entry would ignore everything: name a kind, namespace, name or fields.",
        ),
    ),
}
"""Model → its rules. A model that checks something across fields has an entry here or in NOT_SAID."""

# CEL does not see `value`, which has no single type.
_CONDITIONS = ("value", "pattern", "allowed", "anyOf", "min", "max")
_CONTRADICTIONS: list[dict[str, Any]] = [
    {"required": [one, other]}
    for one, other in combinations(_CONDITIONS, 2)
    if (one, other) != ("min", "max")
]
_CONTRADICTIONS += [
    {"required": [name, "exists"], "properties": {"exists": {"enum": [False]}}} for name in _CONDITIONS
]
_OR_UNSET = {"orUnset": {"enum": [True]}}
MODELS["FieldCondition"] = {
    "not": {"anyOf": [c for c in _CONTRADICTIONS if "anyOf" not in c["required"]]},
    "anyOf": [{"required": [name]} for name in (*_CONDITIONS, "exists") if name != "anyOf"],
}
MODELS["ContainerRule"] = {
    "not": {"anyOf": [*_CONTRADICTIONS, {"required": ["orUnset", "exists"], "properties": _OR_UNSET}]},
    "anyOf": [{"required": [name]} for name in _CONDITIONS]
    + [{"not": {"required": ["orUnset"], "properties": _OR_UNSET}}],
}

_DATE = {
    "x-kubernetes-validations": [
        {
            "rule": "timestamp(self.substring(0, 10) + 'T00:00:00Z').getFullYear() > 0",
            "message": "must be a day that the calendar has.",
        }
    ]
}
for _model, _names in {
    "Exemption": ("expiresAt",),
    "PodSecurityExemption": ("expiresAt",),
    "ActivePeriod": ("startDate", "endDate"),
}.items():
    for _name in _names:
        FIELDS[_model, _name] = _DATE

# Lists that are sets by name: one entry a name, and appliers own entries, not the whole list.
for _model, _name, _key in (
    ("ClusterSpecification", "policyExemptions", "name"),
    ("AlertConfigSpec", "custom", "name"),
    ("AlertConfigSpec", "webhooks", "name"),
    *((status, "conditions", "type") for status in (
        "ClusterSpecificationStatus", "ClusterTargetStatus", "ComplianceReportStatus", "DriftReportStatus",
        "AlertConfigStatus", "DriftConfigStatus",
    )),
):  # fmt: skip
    FIELDS[_model, _name] = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [_key]}

NOT_SAID = {
    "lists and texts": "the server bounds them (a list to 256 entries, a name to 512 letters); files are not bounded",
    "numbers for text": "a file may say `minVersion: 1.30`; a custom resource needs quotes",
    "clusterRef": "text (a path or context) is for files; a custom resource names a ClusterTarget, and its"
    " name is not checked",
    "checks": "modules of checks are for files: a cluster does not say which code runs here",
    "workloads.containers.*.key": "that a Pod has such a field, and values that it can have",
    "workloads.containers.*": "the order of min and max, that the pattern can be read, and what is for required only",
    "registries": "the whole syntax of hosts and repositories",
    "workloads.images.signatures": "that keys are keys in PEM, that the regular expression can be read, and that"
    " contents are there and no paths of files",
    "admission.required.namePattern": "that the regular expression can be read",
    "timezone": "that the zone is known",
    "schedule": "that the cron schedule can be read",
    "duration": "that it is not longer than a year",
    "interval": "that it is not longer than a year",
    "activePeriods": "that the dates leave a moment in which it is active",
    "minVersion and maxVersion": "the order of two pre-releases of one version",
    "wildcards": "that patterns match everything, as `*` does: `**`, `?*`, `[a*, b*, …]`, in `resources` too",
    "namespaceScope": "that excludeNamespaces, by its wildcards, leaves nothing of includeNamespaces",
    "policyExemptions.resources": "a namespace or Namespace that is not among `namespaces`",
}
"""What is checked only when an object is read; the server accepts it (or, of the first four, refuses more)."""
