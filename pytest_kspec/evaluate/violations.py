"""From a rule and an object to violations, and from a violation to a finding: what scans, admission and the preview of
enforcement share, so that they find the same and say it in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import PodShape, Workload
from pytest_kspec.results.finding import AppliedExemption, Finding, told
from pytest_kspec.rules.base import Rule, ServiceRule, Violation
from pytest_kspec.rules.fieldpath import malformed, not_allowed

ERRORS_SHOWN = 5


class Judged(NamedTuple):
    """What a rule says about one object.

    errors: what could not be evaluated; each begins with a path of the pod or Service, or says where that is
    """

    violations: Sequence[Violation]
    errors: tuple[str, ...] = ()


def distinct(violations: Sequence[Violation]) -> Sequence[Violation]:
    """Each once: a manifest may hold two containers or volumes of one name, which have one path."""
    if len(violations) < 2:
        return violations
    found: dict[tuple[str, str, str], Violation] = {}
    for violation in violations:
        found.setdefault((violation.path, repr(violation.actual), violation.expected), violation)
    return tuple(found.values())


def judge_pod(rule: Rule, shape: PodShape) -> Judged:
    """All that can be said of a pod, also of one that Kubernetes would not allow."""
    errors = tuple(not_allowed(path, found) for path, found in shape.malformed)
    try:
        return Judged(distinct(rule.evaluate(shape)), errors)
    except Malformed as error:
        return Judged((), errors or (error.what,))


def judge_service(rule: ServiceRule, spec: Any) -> Judged:
    """The same for the `spec` of a Service, as it stands in the object."""
    try:
        if spec is not None and type(spec) is not dict:
            malformed("spec", spec, dict)
        return Judged(rule.evaluate_service(spec or {}))
    except Malformed as error:
        return Judged((), (error.what,))


def in_object(holder: Workload, what: str) -> str:
    """What could not be evaluated of a pod, with its path in the object that holds the pod."""
    said = holder.place or what.startswith(f"{holder.template_path.removesuffix('.')}: ")
    return what if said else holder.path_of(what)


def finding_of(
    resource: ResourceRef,
    owner: ResourceRef,
    path: str,
    violation: Violation,
    message: str = "",
    count: int = 1,
    exemption: AppliedExemption | None = None,
    fix: Any = None,
) -> Finding:
    """The finding that a violation is, without what may be a credential.

    path:    where the violation is in the resource
    message: "" for one made of path, actual and expected
    """
    _, actual, expected, container = violation
    actual, expected, message = told(resource.kind, path, actual, expected, message)
    return Finding(resource, owner, path, actual, expected, message, container, count, exemption, fix=fix)


def several(errors: Iterable[str]) -> str:
    """What could not be evaluated, in a line: the first ones, and how many there are beside these."""
    lines = list(errors)
    more = len(lines) - ERRORS_SHOWN
    return "; ".join(lines[:ERRORS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
