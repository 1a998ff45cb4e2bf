"""Engines: from a plan to the manifests that one kind of admission control understands. One file an engine.

A module of an engine has what `Engine` says. To add one: a file here, and a line in `ENGINES` and in
`extend/places`; or an installed package (docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import EnforcementPlan, NotEnforceable
from pytest_kspec.extend.places import ENGINES as PLACE
from pytest_kspec.spec.activation import is_active, next_change
from pytest_kspec.spec.operations import NamespaceScope

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.writing.write import Writer

ENGINES = {
    "kyverno": "Kyverno's ValidatingPolicy, or its ClusterPolicy (--kyverno-api)",
    "vap": "ValidatingAdmissionPolicy, built into the API server, Kubernetes 1.30 or later",
    "webhook": "the registration of 'kspec webhook', which must be running",
}
"""Name, which is also the module's, and what it is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be generated.

    mode:         audit or enforce
    cluster_name: as exemptions name it; None if it is not known
    options:      the command's, for engines that have some of their own
    """

    plan: EnforcementPlan
    mode: Mode
    cluster_name: str | None = None
    options: Any = field(default=None)

    @property
    def scope(self) -> NamespaceScope | None:
        """The namespaces that are meant."""
        return self.plan.spec.spec.namespace_scope

    @property
    def active(self) -> bool:
        """Whether the specification is active at the plan's moment."""
        return is_active(self.plan.spec.spec.time_based_activation, self.plan.moment)

    @property
    def boundary(self) -> datetime | None:
        """When what is generated now is no longer right: an exemption ends, a period begins or ends."""
        change = next_change(self.plan.spec.spec.time_based_activation, self.plan.moment)
        ends = [moment for moment in (self.plan.boundary, change) if moment is not None]
        return min(ends, default=None)


class Generated(NamedTuple):
    """What an engine makes of a plan.

    manifests:       in the order in which they are applied
    not_enforceable: what this engine cannot say
    excluded:        namespaces that it leaves out beside the specification's own scope
    timeless:        they stay right when an exemption or a period ends
    """

    manifests: tuple[dict[str, Any], ...]
    not_enforceable: tuple[NotEnforceable, ...] = ()
    excluded: tuple[str, ...] = ()
    timeless: bool = False


class InForce(NamedTuple):
    """What one object in the cluster does, as read back.

    mode:     what its actions amount to; "" for none
    problems: why it may not do what it should, each one line
    pending:  the cluster has not looked at it yet: worth asking again in a moment
    """

    kind: str
    name: str
    mode: str
    problems: tuple[str, ...] = ()
    pending: bool = False


class Engine(Protocol):
    """What a module of an engine has."""

    NAME: str
    KINDS: Sequence[tuple[str, str]]
    """(apiVersion, kind) of what it generates, in the order in which they are applied."""
    IF_NOT_SERVED: str
    """What to do where the cluster does not serve them."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Options of its own."""
        ...

    def generate(self, wanted: Wanted) -> Generated:
        """Manifests. Raises KspecError. No I/O."""
        ...

    def in_force(self, objects: Sequence[dict[str, Any]], writer: Writer) -> list[InForce]:
        """What the objects of a specification that are in the cluster do. Raises KspecError."""
        ...


def engines() -> dict[str, str]:
    """Name → what it is: ours, and those of installed packages."""
    installed = {entry.name: f"of the package {entry.package}" for entry in PLACE.installed()}
    return dict(sorted((ENGINES | installed).items()))


def engine(name: str) -> Engine:
    """The engine of this name, one of `engines`. Raises UsageError."""
    return cast("Engine", PLACE.load(name))
