"""Pod Security labels of namespaces.

An unset level falls back to the configuration of the API server, which no scan can read: a finding, unless
privileged is the required level.
An unset version falls back to latest unless that configuration says otherwise, and follows the cluster, as
latest does. A pinned version does not follow, so it does not satisfy latest. A label that is not a level
or a version is a finding always.

An exempted namespace needs its exemption's level at `enforce`; `audit` and `warn` then need no more than that
level. An expired exemption does not count.

Manifests need not contain the Namespaces that their objects are in. The labels of such a namespace are not known: it is
listed as not evaluated, and the requirement does not pass.
"""

from __future__ import annotations

from pytest_kspec import (
    RESERVED_NAMESPACES,
    About,
    ClusterSpecification,
    Findings,
    NamespaceLevels,
    Namespaces,
    NotApplicable,
    Requirement,
    check,
    pod_security_minor,
    pod_security_strictness,
    unknown_labels,
)

ABOUT = About(
    restricts=(
        "metadata.labels[pod-security.kubernetes.io/{enforce,audit,warn}] of namespaces, and "
        "metadata.labels[pod-security.kubernetes.io/{enforce,audit,warn}-version]"
    ),
    allowed=(
        "the required level, or a stricter one; unset only if privileged is the required level. Version, "
        "where podSecurity.version is set: that version, a newer one, latest or unset"
    ),
    source=(
        "Pod Security Admission, labels of namespaces (Kubernetes 1.23, stable since 1.25);\n"
        "CIS Kubernetes Benchmark 1.10, 5.2.1"
    ),
)

PREFIX = "pod-security.kubernetes.io/"
REMEDIATION = f"Label the namespace with {PREFIX}<mode>=<level>, or exempt it in podSecurity.exemptions."


def level_problem(actual: str | None, needed: str) -> str:
    """What a level label should be where it is not strict enough, else ""."""
    need = pod_security_strictness(needed)
    have = 0 if actual is None and need == 0 else pod_security_strictness(actual or "")
    if have is not None and need is not None and have >= need:
        return ""
    return f"{needed} or stricter" if needed != "restricted" else needed


def version_problem(actual: str | None, asked: str | None) -> str:
    """What a version label should be if it is not a version or is older than the required version, else ""."""
    if actual is None or actual == "latest":
        return ""
    have = pod_security_minor(actual)
    if asked is None:
        return "latest or a version such as v1.30" if have is None else ""
    if asked == "latest":
        return "latest"
    need = pod_security_minor(asked)
    good = have is not None and need is not None and have >= need
    return "" if good else f"{asked}, newer, or latest"


def check_labels(
    mode: str, asked: str, spec: ClusterSpecification, namespaces: Namespaces, findings: Findings
) -> None:
    """Report every namespace whose labels for this mode ask for less than `asked`."""
    if spec.pod_security is None:
        raise NotApplicable("podSecurity is not set.")
    levels = NamespaceLevels(spec.pod_security)
    unknown = []
    for namespace in namespaces:
        try:
            labels = namespace.labels
        except NotApplicable:
            unknown.append(namespace.name)
            continue
        needed = levels.of(namespace.name, asked)
        if mode != "enforce" and (pod_security_strictness(needed) or 0) > (
            pod_security_strictness(asked) or 0
        ):
            needed = asked
        version = spec.pod_security.version
        for key, problem, good in (
            (f"{PREFIX}{mode}", level_problem(labels.get(f"{PREFIX}{mode}"), needed), needed),
            (
                f"{PREFIX}{mode}-version",
                version_problem(labels.get(f"{PREFIX}{mode}-version"), version),
                version,
            ),
        ):
            if problem:
                findings.add(
                    namespace,
                    path=f"metadata.labels[{key}]",
                    actual=labels.get(key),
                    expected=problem,
                    # What Kubernetes itself runs needs more than a level allows: a person must decide there.
                    fix=None
                    if namespace.name.startswith(RESERVED_NAMESPACES)
                    else {"metadata": {"labels": {key: good}}},
                )
    if unknown:
        findings.skip(unknown_labels(unknown))


@check(
    id="podSecurity.enforce",
    title="Namespaces enforce the Pod Security level",
    severity="high",
    remediation=REMEDIATION,
    about=ABOUT,
    not_admission="it is about labels of Namespaces; the controls of the level are enforced on pods instead",
    key="podSecurity.enforce",
    judges="object",
)
def test_enforce(
    namespaces: Namespaces, requirement: Requirement, spec: ClusterSpecification, findings: Findings
) -> None:
    """Without this label the API server admits pods that break the standard."""
    check_labels("enforce", str(requirement.value), spec, namespaces, findings)


@check(
    id="podSecurity.audit",
    title="Namespaces audit against the Pod Security level",
    severity="medium",
    remediation=REMEDIATION,
    about=ABOUT,
    not_admission="it is about labels of Namespaces; the controls of the level are enforced on pods instead",
    key="podSecurity.audit",
    judges="object",
)
def test_audit(
    namespaces: Namespaces, requirement: Requirement, spec: ClusterSpecification, findings: Findings
) -> None:
    """Without this label the audit log does not show which pods break the standard."""
    check_labels("audit", str(requirement.value), spec, namespaces, findings)


@check(
    id="podSecurity.warn",
    title="Namespaces warn about violations of the Pod Security level",
    severity="low",
    remediation=REMEDIATION,
    about=ABOUT,
    not_admission="it is about labels of Namespaces; the controls of the level are enforced on pods instead",
    key="podSecurity.warn",
    judges="object",
)
def test_warn(
    namespaces: Namespaces, requirement: Requirement, spec: ClusterSpecification, findings: Findings
) -> None:
    """Without this label, a client that creates a pod or a controller gets no warning about violations."""
    check_labels("warn", str(requirement.value), spec, namespaces, findings)
