"""What an alert is, and the commands of a first look that several share."""

from __future__ import annotations

from typing import NamedTuple

CS = "cluster_name, cluster_spec"
DAY = "86400"


class Alert(NamedTuple):
    """One alert.

    after:   how long the expression has to hold
    summary: one line, description: with the value; both may use labels
    cause:   what it means, for the runbook; look: commands for a first look; mend: what to change
    v03:     v0.3 had it
    """

    name: str
    group: str
    severity: str
    after: str
    expr: str
    summary: str
    description: str
    cause: str
    look: tuple[str, ...]
    mend: str
    v03: bool = False


SPEC = ("kubectl get cspec", "kubectl describe cspec NAME", "kubectl -n kspec-system get compliancereports")
OPERATOR = (
    "kubectl -n kspec-system get pods -l app.kubernetes.io/name=kspec-operator",
    "kubectl -n kspec-system logs -l app.kubernetes.io/name=kspec-operator --tail=100",
    "kubectl -n kspec-system get lease kspec-operator-lock -o yaml",
)
WEBHOOK = (
    "kubectl -n kspec-system get pods -l app.kubernetes.io/name=kspec-webhook",
    "kubectl -n kspec-system logs -l app.kubernetes.io/name=kspec-webhook --tail=100",
    "kubectl get validatingwebhookconfigurations -l kspec.io/generated=true",
)
TARGET = (
    "kubectl -n kspec-system get clustertargets",
    "kubectl -n kspec-system describe clustertarget NAME",
    "kubectl -n kspec-system get secrets",
)
OF = "{{ $labels.cluster_spec }} on {{ $labels.cluster_name }}"
