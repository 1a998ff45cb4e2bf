"""A cluster of a fleet: what is known of it before it is reached, and how it is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn

from pytest_kspec.cluster.api.contexts import has_credentials
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import KspecError, SourceUnavailable
from pytest_kspec.fleet.targets.keeper import Keeper
from pytest_kspec.redaction.marker import REDACTED

ONLY_READ = "what describes this cluster belongs to another program: kspec only reads it."
"""Why no policies are applied to a target that is not a ClusterTarget."""

Origin = Literal["context", "target", "argocd", "clusterprofile", "hub"]
Opener = Callable[[Limits | None], LiveSource]


_QUERY = re.compile(r"[?#](?!$)")


@dataclass(frozen=True)
class Target:
    """One cluster, as one of its names.

    name:   as in tables and reports
    ref:    what `kspec scan --cluster` and `open_target` take, the same in every process: `context:prod`,
            `target:kspec-system/prod`
    labels: what `-l` selects by; None where they cannot be read
    server: address of the API server, as it may be shown; "" where it is not known
    uid:    UID of kube-system as far as somebody has seen it; None before first contact
    seen: the `status` of its ClusterTarget, as the hub's operator wrote it
    note: what a reader of a table should know of it
    keeper: of its credentials; None where a kubeconfig file has them
    problem: why the cluster cannot be opened, however often it is tried; None where it can be tried
    """

    name: str
    ref: str
    origin: Origin
    opener: Opener = field(repr=False, compare=False)
    labels: Mapping[str, str] | None = field(default_factory=dict)
    server: str = ""
    uid: str | None = None
    suspended: bool = False
    allow_enforcement: bool = False
    seen: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    note: str = ""
    keeper: Keeper | None = field(default=None, repr=False, compare=False)
    problem: KspecError | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if has_credentials(self.server):  # of what others wrote; it is refused when it is opened
            scheme, colon, rest = self.server.rpartition("://")
            object.__setattr__(self, "server", f"{scheme}{colon}{REDACTED}@{rest.rpartition('@')[2]}")
        if query := _QUERY.search(self.server):
            object.__setattr__(self, "server", f"{self.server[: query.start()]}{query[0]}{REDACTED}")

    def open(self, limits: Limits | None = None) -> LiveSource:
        """A source with a connection of its own, which is the caller's to close: one for each thread. No I/O yet.

        Raises SourceUnavailable for a target whose description is wrong.
        """
        if self.problem is not None:
            raise SourceUnavailable(
                self.problem.what, where=self.problem.where or self.name, fix=self.problem.fix
            ) from self.problem
        return self.opener(limits)

    def found(self, uid: str) -> Target:
        """The same, once its cluster said which it is. uid: "" where that may not be read."""
        return replace(self, uid=uid or None)


def never(name: str, error: KspecError) -> Opener:
    """How a target is opened that cannot be."""

    def opener(_: Limits | None) -> NoReturn:
        raise SourceUnavailable(error.what, where=error.where or name, fix=error.fix) from error

    return opener


def one_of_each(targets: Iterable[Target]) -> tuple[list[Target], dict[str, str]]:
    """Each cluster once: of several names of one cluster, the first; and each other name → the name that stands for it.

    A cluster that was not reached is nobody else's name.
    """
    kept: list[Target] = []
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for target in targets:
        if target.uid is not None and target.uid in first:
            same[target.name] = first[target.uid]
            continue
        if target.uid is not None:
            first[target.uid] = target.name
        kept.append(target)
    return kept, same
