"""Version of the API server.

`1.30` is every 1.30.x. `1.30.2` is that patch in every vendor's build. A pre-release of 1.30.0 is older
than 1.30.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec import About, Bound, Cluster, ClusterSpecification, Findings, Requirement, Version, check

ABOUT = About(
    restricts="gitVersion of the API server",
    allowed="from kubernetes.minVersion to kubernetes.maxVersion, none of kubernetes.excludedVersions",
    source="the specification; Kubernetes, version skew policy",
)


def range_asked(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One, where either end of the range is given."""
    section = spec.kubernetes
    if section and (section.min_version or section.max_version):
        key = "minVersion" if section.min_version else "maxVersion"
        yield Requirement(
            "kubernetes.version", f"kubernetes.{key}", (section.min_version, section.max_version)
        )


@check(
    id="kubernetes.version",
    title="The API server's version is within the required range",
    severity="critical",
    remediation="Upgrade the control plane, one minor version at a time; if it is too new, widen maxVersion.",
    about=ABOUT,
    not_admission="it is about the cluster itself, which is not part of any admission request",
    requirements=range_asked,
    cluster_wide=True,
    reads=(),
)
def test_version(cluster: Cluster, requirement: Requirement, findings: Findings) -> None:
    """Old versions get no security fixes; untested new ones may have dropped APIs that workloads use."""
    minimum, maximum = requirement.value
    version = read_version(cluster, findings)
    if version is None:
        return
    if minimum and not Bound.parse(minimum).is_minimum_of(version):
        report(findings, version, f"at least {minimum}")
    if maximum and not Bound.parse(maximum).is_maximum_of(version):
        report(findings, version, f"at most {maximum}")


@check(
    id="kubernetes.excludedVersions",
    title="The API server runs none of the excluded versions",
    severity="critical",
    remediation="Upgrade the control plane to a version that is not excluded.",
    about=ABOUT,
    not_admission="it is about the cluster itself, which is not part of any admission request",
    key="kubernetes.excludedVersions",
    cluster_wide=True,
    reads=(),
)
def test_excluded_versions(cluster: Cluster, requirement: Requirement, findings: Findings) -> None:
    """A version is excluded because it has a known defect."""
    version = read_version(cluster, findings)
    if version is None:
        return
    for excluded in requirement.value:
        if Bound.parse(excluded).names(version):
            report(findings, version, f"not {excluded}")


def read_version(cluster: Cluster, findings: Findings) -> Version | None:
    """The API server's version; an error is reported if it could not be read."""
    findings.examined(1)
    try:
        return Version.parse(cluster.version)
    except ValueError as error:
        findings.error(f"the API server's version could not be read: {error}")
        return None


def report(findings: Findings, version: Version, expected: str) -> None:
    """One finding about the cluster."""
    message = f"the API server's version is {version}, must be {expected}"
    findings.add(None, path="version", actual=str(version), expected=expected, message=message)
