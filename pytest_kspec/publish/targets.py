"""What `--kspec-report` names that is no file: reports which go into the scanned clusters (`clusterreports`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from pytest_kspec.errors import UsageError
from pytest_kspec.kube.kspecnames import NAMESPACE

COMPLIANCE = "cr"
POLICY = "policyreport"
FORMATS = (COMPLIANCE, POLICY)
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ClusterTarget(NamedTuple):
    """One kind of report. namespace: where ComplianceReports go; "" for policy reports, which go where findings are."""

    format: str
    namespace: str = ""


def split(
    texts: Iterable[str], option: str = "--kspec-report"
) -> tuple[tuple[ClusterTarget, ...], list[str]]:
    """The reports that go into clusters, and the others as they are. Raises UsageError."""
    targets: list[ClusterTarget] = []
    others = []
    for text in texts:
        name, colon, rest = text.partition(":")
        if name not in FORMATS:
            others.append(text)
            continue
        if name == POLICY and colon:
            raise UsageError(
                "policy reports are written to the namespaces of the findings.",
                where=f"{option} {text}",
                fix=f"Write {POLICY}, without a namespace.",
            )
        namespace = (rest if colon else NAMESPACE) if name == COMPLIANCE else ""
        if name == COMPLIANCE and not _NAMESPACE.fullmatch(namespace):
            raise UsageError(
                f"'{namespace}' is no name of a namespace.",
                where=f"{option} {text}",
                fix=f"Write {COMPLIANCE}, or {COMPLIANCE}:NAMESPACE.",
            )
        if any(target.format == name for target in targets):
            raise UsageError(f"{name} is given twice.", where=f"{option} {text}")
        targets.append(ClusterTarget(name, namespace))
    return tuple(targets), others
