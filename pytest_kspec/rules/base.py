"""What every rule is: a reason and a pure function from pod shape, or from Service, to violations.

One rule may judge both: a disallowed port is one thing, wherever it is declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pytest_kspec.kube.resources import PodShape


class Violation(NamedTuple):
    """One violation in a pod.

    path: field path in a pod, container lists by container name ("spec.containers[app].securityContext.privileged");
    for a template the findings collector puts its prefix before it.
    actual: what is there, None for unset. expected: what is allowed, as text. container: its name, or "".
    """

    path: str
    actual: Any
    expected: str
    container: str = ""


@runtime_checkable
class Rule(Protocol):
    """A rule about pods.

    reason: short and constant ("privileged containers"); groups, alerts and metrics use it.

    A rule may also have `reads: tuple[str, ...]`, the facets (`PodShape.facet`) that alone decide whether a pod
    violates it: pods that are equal there are then evaluated once. Names of containers do not count: they
    come up in messages only.
    """

    @property
    def reason(self) -> str:
        """Short and constant."""
        ...

    def evaluate(self, pod: PodShape) -> Sequence[Violation]:
        """All violations, in the order of the object. Raises `errors.Malformed` for an impossible type."""
        ...


@runtime_checkable
class ServiceRule(Protocol):
    """A rule about Services. `reason` as in `Rule`."""

    @property
    def reason(self) -> str:
        """Short and constant."""
        ...

    def evaluate_service(self, spec: Mapping[str, Any]) -> Sequence[Violation]:
        """All violations of the `spec` of a Service, in its order.

        Raises `errors.Malformed` for an impossible type.
        """
        ...
