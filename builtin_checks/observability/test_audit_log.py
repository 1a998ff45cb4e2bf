"""Audit log of the API server.

Restricted field:  flags of the container kube-apiserver, as its static pod in kube-system shows them
Allowed values:    --audit-policy-file and a backend: --audit-log-path or --audit-webhook-config-file; with
                   minRetentionDays, --audit-log-maxage at least that, 0 or unset (files are then not
                   deleted by age)
Source:            the specification; CIS Kubernetes 1.10, 1.2.16, 1.2.17 and 3.2.1; Kubernetes,
                   kube-apiserver flags

Without a policy file the API server logs nothing, whatever the backend. What the policy says stands on the
node and is not read. Nor is how fast files are rotated: --audit-log-maxbackup may delete them earlier on a
busy cluster. Retention of what goes to a webhook or to standard output is the receiver's: it cannot be read
here, which is an error, not a pass. A control plane that shows no API server pod (managed services) cannot
be evaluated either.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from pytest_kspec import Container, NotApplicable, Requirement, Resource, Workload, check

NAMESPACE = "kube-system"
NAME = "kube-apiserver"
WHERE_TO_LOOK = (
    "no kube-apiserver pod in kube-system, so its flags cannot be read (a managed control plane, or an API "
    "server outside of pods): see to its audit log with the provider (EKS control plane logging, GKE Cloud "
    "Audit Logs, AKS diagnostic settings) and leave auditLog out of this cluster's specification"
)
STDOUT = "-"


def asked(spec: Any) -> Iterator[Requirement]:
    """One, if the log is required or its retention is."""
    logging = spec.observability.logging if spec.observability else None
    audit = logging.audit_log if logging else None
    if audit and (audit.required or audit.min_retention_days):
        key = "required" if audit.required else "minRetentionDays"
        yield Requirement("observability.logging.auditLog", f"observability.logging.auditLog.{key}", audit)


@check(
    id="observability.logging.auditLog",
    title="The API server writes an audit log and keeps it long enough",
    severity="high",
    remediation="Set --audit-policy-file, --audit-log-path and --audit-log-maxage of every kube-apiserver.",
    requirements=asked,
    cluster_wide=True,
)
def test_audit_log(cluster: Any, pods: Any, requirement: Requirement, findings: Any) -> None:
    """Without it nobody can say afterwards who read a secret or changed a role."""
    servers = [(pod, container) for pod in pods if (container := api_server(pod)) is not None]
    if not servers:
        if cluster.source == "manifests":
            raise NotApplicable("the manifests hold no kube-apiserver")
        findings.error(WHERE_TO_LOOK)
    days = requirement.value.min_retention_days or 0
    for pod, container in servers:
        flags = read_flags(container)
        if flags is None:
            findings.error(f"the flags of container {container.name} cannot be read from its command", pod)
            continue
        judge(pod, container, flags, days, findings)


def judge(pod: Resource, container: Container, flags: dict[str, str], days: int, findings: Any) -> None:
    """One API server: is it on, and for how long is it kept."""

    def report(flag: str, expected: str, message: str) -> None:
        findings.add(
            pod,
            path=f"{container.path}.command[--{flag}]",
            actual=flags.get(flag) or None,
            expected=expected,
            message=message,
            container=container.name,
        )

    if not flags.get("audit-policy-file"):
        report("audit-policy-file", "a policy file", "--audit-policy-file is unset: nothing is logged")
    path = flags.get("audit-log-path", "")
    webhook = flags.get("audit-webhook-config-file", "")
    if not path and not webhook:
        report("audit-log-path", "a file", "neither --audit-log-path nor --audit-webhook-config-file is set")
        return
    if not days:
        return
    if not path or path == STDOUT:
        sink = "standard output" if path else "a webhook"
        findings.error(
            f"audit events go to {sink}; whether they are kept {days} days cannot be read from the cluster: "
            "set --audit-log-path to a file, or leave minRetentionDays out and see to it where they go",
            pod,
        )
        return
    age = flags.get("audit-log-maxage") or "0"
    if not age.isdecimal():
        findings.error(f"--audit-log-maxage is {age!r}, not a number of days", pod)
    elif 0 < int(age) < days:
        report(
            "audit-log-maxage",
            f"at least {days}",
            f"audit logs are deleted after {age} days, must be kept {days}",
        )


def api_server(pod: Workload) -> Container | None:
    """The API server's container, if this is its pod."""
    if pod.namespace != NAMESPACE:
        return None
    containers = [container for container in pod.containers if container.list == "containers"]
    for container in containers:
        if container.name == NAME or words(container)[:1] == [NAME]:
            return container
    return containers[0] if containers and pod.labels.get("component") == NAME else None


def read_flags(container: Container) -> dict[str, str] | None:
    """Flag → value, "true" for one without; None if they cannot be told (another script, OpenShift)."""
    given = words(container)
    if NAME not in (word.rpartition("/")[2] for word in given) and not any(w.startswith("--") for w in given):
        return None
    if "--openshift-config" in (word.partition("=")[0] for word in given):
        return None
    flags: dict[str, str] = {}
    for index, word in enumerate(given):
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        following = given[index + 1] if index + 1 < len(given) else "--"
        if not equals:
            value = "true" if following.startswith("--") else following
        flags[name] = value
    return flags


def words(container: Container) -> list[str]:
    """Command and arguments; a shell's script taken apart. The program's folder is left out."""
    found: list[str] = []
    for field in ("command", "args"):
        entries = container.raw.get(field)
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, str):
                continue
            if NAME in entry and any(c.isspace() for c in entry):
                try:
                    found += shlex.split(entry, comments=True)
                except ValueError:
                    found.append(entry)
            else:
                found.append(entry)
    if found and not found[0].startswith("-"):
        found[0] = found[0].rpartition("/")[2]
    return found
