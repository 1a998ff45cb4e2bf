"""Checks and requirements.

A check is a test function with metadata. A requirement is one thing that a specification asks for; a check answers one
or more of them. One pytest item is one requirement on one cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from pytest_kspec.checks.reads import UNKNOWN, Judged, Reads
from pytest_kspec.results.verdict import Severity
from pytest_kspec.spec.requirement import Requirement

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_kspec.spec.sections import ClusterSpecification


RequirementsOf = Callable[["ClusterSpecification"], Iterable[Requirement]]


class About(Struct, frozen=True):
    """What a check restricts, for its documentation. Each line of a text is one entry.

    restricts: the fields, as paths, or what else is examined
    allowed:   the allowed values of these fields
    source:    the source of the requirement: a standard with its version, or a key of the specification
    """

    restricts: str
    allowed: str
    source: str

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """(label, text) of each."""
        return (
            ("Restricted field", self.restricts),
            ("Allowed values", self.allowed),
            ("Source", self.source),
        )


class Check(Struct, frozen=True, eq=False):
    """A test function and what it says about itself. Made by `pytest_kspec.check`, which validates every field.

    id:           "<area>.<thing>"; built-in checks: the path of the spec key that is read
    title:        one line, at most 100 characters, stating the good state
    doc:          the function's docstring: why it matters
    controls:     catalog id → control ids; of built-in checks the catalogs say which (frameworks/catalog)
    remediation:  what to do, one or two sentences
    key:          the spec key that asks for it; None: collected for every spec
    requirements: spec → requirements, where one key asks for several
    about:        what it restricts; None where it does not say
    not_admission: why admission cannot see what it examines; "" where it has a rule, or does not say
    module_doc:   docstring of the module
    cluster_wide: it is about the cluster as a whole: `namespaceScope` does not limit what it sees and reports
    reads:        kinds that it reads
    judges:       "object", "namespace" or "cluster": what it judges by itself
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
    about: About | None = None
    not_admission: str = ""
    module_doc: str = ""
    path: Path | None = None
    line: int = 0
    cluster_wide: bool = False
    reads: Reads = UNKNOWN
    judges: Judged = "cluster"
