"""Checks and requirements.

A check is a test function with metadata. A requirement is one thing that a specification asks for; a check answers one
or more of them. One pytest item is one requirement on one cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_kspec.model.spec import ClusterSpecification


NOTHING_TO_EXAMINE = "nothing there to examine"
"""Reason of a skip where the check looked and there was nothing, unlike those where it could not look."""


class Severity(StrEnum):
    """How bad it is when a requirement is not met. The predecessor's four levels, ordered by `rank`."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (low) to 3 (critical)."""
        return list(Severity).index(self)

    @property
    def weight(self) -> int:
        """Weight in the score: 1, 2, 4, 8 (docs/reports.md, "Score")."""
        return 1 << self.rank


class Verdict(StrEnum):
    """pass; fail (findings that no exemption covers); error (could not be evaluated); skip (nothing to examine)."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a specification asks of a cluster.

    id:       item name: the path of the spec key, with the list entry in brackets
              ("workloads.containers.required[securityContext.runAsNonRoot]")
    key:      path of the key below `spec` that it comes from, to find its line ("workloads.containers.required[0]")
    value:    what the specification says there: plain data or a model of `pytest_kspec.model.spec`
    location: "file:line:column" of that key; filled in by the plan
    controls: catalogue id → ids of the controls that it answers; filled in by the plan
    """

    id: str
    key: str
    value: Any = None
    location: str = ""
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


RequirementsOf = Callable[["ClusterSpecification"], Iterable[Requirement]]


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A test function and what it says about itself. Made by `pytest_kspec.check`, which validates every field.

    id:           "<area>.<thing>"; built-in checks: the path of the spec key that is read
    title:        one line, at most 100 characters, stating the good state
    doc:          the function's docstring: why it matters
    controls:     catalogue id → control ids; of built-in checks the catalogues say which (model/catalogue)
    remediation:  what to do, one or two sentences
    key:          the spec key that asks for it; None: collected for every spec
    requirements: spec → requirements, where one key asks for several
    module_doc:   docstring of the module: restricted field, allowed values, source
    cluster_wide: it is about the cluster as a whole: `namespaceScope` does not limit what it sees and reports
    """

    id: str
    title: str
    severity: Severity
    remediation: str
    func: Callable[..., Any]
    doc: str
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    key: str | None = None
    requirements: RequirementsOf | None = None
    rule: Any = None
    module_doc: str = ""
    path: Path | None = None
    line: int = 0
    cluster_wide: bool = False
