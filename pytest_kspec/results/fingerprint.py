"""The identity of a finding over time: the same one in SARIF, baselines, diffs, history and alerts.

It survives a new name of a pod, a new value in the field and a reordering of containers; it changes with the
requirement, the cluster, the owner, the container and the field.
"""

from __future__ import annotations

import hashlib

from pytest_kspec.results.finding import Finding

_TEMPLATE = "spec.template."
_JOB_TEMPLATE = "spec.jobTemplate."


def fingerprint(cluster: str, requirement_id: str, finding: Finding) -> str:
    """32 hexadecimal digits (128 bits of SHA-256).

    cluster: its identity (`ClusterResult.id`). Older baselines and stores have fingerprints by its name.
    """
    owner = finding.owner
    path = finding.path
    for prefix in (_JOB_TEMPLATE, _TEMPLATE):
        # A template's path and that of the pods it becomes are one.
        path = path.removeprefix(prefix)
    # Without a path, only the message tells two findings about one object apart.
    what = path or finding.message
    parts = (
        cluster,
        requirement_id,
        owner.group,
        owner.kind,
        owner.namespace,
        owner.name,
        finding.container,
        what,
    )
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
