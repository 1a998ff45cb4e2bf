"""The Pod Security Standards: which control holds at which level and version, and which level a namespace
is held to.

The standards are those that the admission plugin of Kubernetes implements (k8s.io/pod-security-admission
v0.37), not those that its documentation describes. A version newer than `NEWEST_MINOR` counts as
`NEWEST_MINOR`, as in the plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from pytest_kspec import clock
from pytest_kspec.errors import NotApplicable, SourceError, SpecError
from pytest_kspec.kube.globs import Globs
from pytest_kspec.kube.resources import Resources, Workload
from pytest_kspec.kube.versions import Version
from pytest_kspec.regexes import regex
from pytest_kspec.rules.base import Rule
from pytest_kspec.rules.pods.podrules import Versioned
from pytest_kspec.spec.requirement import Requirement

if TYPE_CHECKING:
    from pytest_kspec.spec.sections import ClusterSpecification, PodSecurity

NO_SUCH_CONTROL = "of the Pod Security Standards has no control"
"""In the reason of a control that is skipped because the version that is asked for does not have it."""
NEWEST_MINOR = 37
"""Newest Kubernetes minor whose standards are known here; `latest` means this one."""

LEVELS = ("privileged", "baseline", "restricted")
"""From the least to the most strict."""

_LABEL_VERSION = regex(r"v1\.(0|[1-9][0-9]*)")


class _Cluster(Protocol):
    @property
    def version(self) -> str: ...


def pod_security_strictness(level: str) -> int | None:
    """0 (privileged) to 2 (restricted); None for text that is no level."""
    return LEVELS.index(level) if level in LEVELS else None


def pod_security_minor(text: str) -> int | None:
    """The minor of "v1.N" (N as written, not clamped), `NEWEST_MINOR` for "latest", None for other text."""
    if text == "latest":
        return NEWEST_MINOR
    match = _LABEL_VERSION.fullmatch(text)
    return int(match[1]) if match else None


def newer_standards(version: str) -> str:
    """Why the standards of this version ("v1.N", "latest" or a cluster's) are not those that are applied, or "".

    The API server does the same with a label that names a version newer than itself; a report has to say so.
    """
    minor = pod_security_minor(version)
    if minor is None:
        try:
            minor = _minor_of_server(version)
        except SourceError:
            return ""  # said by the checks, which need it
    if minor <= NEWEST_MINOR:
        return ""
    return (
        f"the standards of v1.{minor} are not known to this version: those of v1.{NEWEST_MINOR} are applied"
    )


def standards_minor(asked: str | None, version: str | None) -> int:
    """The minor whose standards hold, at most `NEWEST_MINOR`: the one asked for, else that of the API server.

    asked:   `podSecurity.version`, None where it is not set; "latest": the newest, also on an older cluster
    version: gitVersion of the API server; None where there is none (manifests, no cluster): the newest

    The one place that chooses. What could not be read is an error, never some old version, which asks for less.
    Raises SpecError for what is asked, SourceError for the API server's.
    """
    if asked is not None:
        minor = pod_security_minor(asked)
        if minor is None:
            raise SpecError(
                f"{asked!r} is not a version of the Pod Security Standards.",
                where="podSecurity.version",
                fix="Write it as v1.30, or latest.",
            )
        return min(minor, NEWEST_MINOR)
    return NEWEST_MINOR if version is None else min(_minor_of_server(version), NEWEST_MINOR)


def _minor_of_server(version: str) -> int:
    """Raises SourceError where it is none of Kubernetes 1: a minor of another major means something else."""
    try:
        parsed = Version.parse(version)
    except ValueError as error:
        raise SourceError(f"the version of the API server could not be read: {error}.") from error
    if parsed.major != 1:
        raise SourceError(
            f"the Pod Security Standards of Kubernetes {version} are not known to this version."
        )
    return parsed.minor


def _server_version(cluster: _Cluster) -> str | None:
    try:
        return cluster.version
    except NotApplicable:
        return None


class NamespaceLevels:
    """The level that each namespace must meet: the required one, or that of the first valid exemption that
    names it.

    Expired exemptions do not count: the full level is asked again.
    """

    def __init__(self, pod_security: PodSecurity, now: datetime | None = None) -> None:
        moment = now or clock.now()
        self._exempt: list[tuple[Callable[[str], bool], str]] = [
            (Globs([exemption.namespace]).match, str(exemption.level))
            for exemption in pod_security.exemptions
            if not exemption.is_expired(moment)
        ]

    @property
    def exempted(self) -> frozenset[str]:
        """The levels that valid exemptions name."""
        return frozenset(level for _, level in self._exempt)

    def of(self, namespace: str, asked: str) -> str:
        """The level that holds in this namespace."""
        return next((level for matches, level in self._exempt if matches(namespace)), asked)


class PodSecurityControl(Struct, frozen=True, kw_only=True):
    """One control of the Pod Security Standards.

    name:        as in the item id: `podSecurity.standard[<name>]`
    level:       the level that it belongs to; restricted includes the controls of baseline
    revisions:   its rule by version
    replaced_by: a control of level restricted that takes its place there and, in versions that did not
                 have it yet, holds this one's rule
    """

    name: str
    level: Literal["baseline", "restricted"]
    revisions: Versioned
    replaced_by: str = ""

    @property
    def id(self) -> str:
        """Id of the check and of its requirement."""
        return f"podSecurity.standard[{self.name}]"

    def rule_for(self, level: str, minor: int) -> Rule | None:
        """The rule of this control at a level and version; None where the standard does not have it."""
        if level == "privileged" or (level == "baseline" and self.level == "restricted"):
            return None
        if level == "restricted" and self.replaced_by:
            return None
        return self.revisions.at(minor)

    def requirements(self, spec: ClusterSpecification) -> Iterator[Requirement]:
        """One, where the asked level, or that of an exempted namespace, has it in the asked version.

        Raises SpecError where that is not a version.
        """
        asked = spec.pod_security
        if asked is None or asked.enforce is None:
            return
        minor = standards_minor(asked.version, None)
        levels = {str(asked.enforce), *(str(exemption.level) for exemption in asked.exemptions)}
        if any(self.rule_for(level, minor) for level in levels):
            yield Requirement(self.id, "podSecurity.enforce", str(asked.enforce))

    def select(
        self, workloads: Resources[Workload], spec: ClusterSpecification, cluster: _Cluster
    ) -> Iterator[tuple[Rule, Resources[Workload]]]:
        """Each rule that holds somewhere in the cluster, with the workloads that it holds for.

        Raises NotApplicable where this version of the standards does not have the control, SourceError
        where the version could not be read.
        """
        asked = spec.pod_security
        if asked is None or asked.enforce is None:
            raise NotApplicable("podSecurity.enforce is not set.")
        minor = standards_minor(asked.version, None if asked.version else _server_version(cluster))
        if minor < self.revisions.since:
            raise NotApplicable(
                f"version v1.{minor} {NO_SUCH_CONTROL} {self.name}; v1.{self.revisions.since} has."
            )
        namespaces = NamespaceLevels(asked)
        enforce = str(asked.enforce)
        if not namespaces.exempted:
            rule = self.rule_for(enforce, minor)
            if rule is not None:
                yield rule, workloads
            return
        level_of = cache(lambda namespace: namespaces.of(namespace, enforce))
        for level in LEVELS:
            rule = self.rule_for(level, minor)
            if rule is not None:
                yield rule, workloads.where(_held_to(level, level_of))


def _held_to(level: str, level_of: Callable[[str], str]) -> Callable[[Workload], bool]:
    return lambda workload: level_of(workload.namespace) == level
