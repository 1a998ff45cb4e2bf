"""Audit log of the API server.

Without a policy file the API server logs nothing, whatever the backend. What the policy says stands on the
node and is not read. Nor is how fast files are rotated: --audit-log-maxbackup may delete them earlier on a
busy cluster. Retention of what goes to a webhook or to standard output is the receiver's: it could not be read
here, which is an error, not a pass. A control plane that shows no API server pod (managed services) cannot
be evaluated either.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from pytest_kspec import (
    About,
    Cluster,
    ClusterSpecification,
    Container,
    Findings,
    NotApplicable,
    Pods,
    Requirement,
    Resource,
    Workload,
    check,
)

ABOUT = About(
    restricts="flags of the container kube-apiserver, as its static pod in kube-system shows them",
    allowed=(
        "--audit-policy-file and a backend: --audit-log-path or --audit-webhook-config-file; with "
        "minRetentionDays, --audit-log-maxage at least that, 0 or unset (files are then not deleted by "
        "age)"
    ),
    source=(
        "the specification; CIS Kubernetes 1.10, 1.2.16, 1.2.17 and 3.2.1; Kubernetes, kube-apiserver flags"
    ),
)

NAMESPACE = "kube-system"
NAME = "kube-apiserver"
WHERE_TO_LOOK = (
    "no kube-apiserver pod in kube-system, so its flags could not be read (a managed control plane, or an API "
    "server outside of pods): see to its audit log with the provider (EKS control plane logging, GKE Cloud "
    "Audit Logs, AKS diagnostic settings) and leave auditLog out of this cluster's specification"
)
STDOUT = "-"
SHELLS = ("sh", "bash", "dash", "ash")
READ = ("audit-policy-file", "audit-log-path", "audit-webhook-config-file", "audit-log-maxage")
HIDDEN = "\0"
"""Stands for a value that is not in the pod; no argument of a program holds this letter."""

_SHELL = r"\$[({\w@*].*|`.*"
_SCRIPT = r"-[a-z]*c"
_COMMENT = r"(?<!\S)#[^\n]*"
_DUPLICATED = r"[<>]&"
_BETWEEN = ";&|\n"
_ASSIGNED = r"\w+="
_NUMBER = r"\+?[0-9][0-9a-zA-Z_]*"
_OCTAL = r"\+?0[0-7_]+"
_REFERENCE = r"\$(?:\$|\(([^)]*)\))"


def asked(spec: ClusterSpecification) -> Iterator[Requirement]:
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
    about=ABOUT,
    not_admission="it is about what runs in the cluster, not about a single object",
    requirements=asked,
    cluster_wide=True,
    reads=(),
)
def test_audit_log(cluster: Cluster, pods: Pods, requirement: Requirement, findings: Findings) -> None:
    """Without an audit log, it cannot be found out later who read a Secret or changed a Role."""
    servers = [(pod, container) for pod in pods if (container := api_server(pod)) is not None]
    if not servers:
        if cluster.source == "manifests":
            raise NotApplicable("the manifests contain no kube-apiserver")
        findings.error(WHERE_TO_LOOK)
    days = requirement.value.min_retention_days or 0
    for pod, container in servers:
        flags = read_flags(container)
        if flags is None:
            findings.error(f"the flags of container {container.name} could not be read from its command", pod)
            continue
        hidden = [name for name in READ if flags.get(name, "") is None]
        if hidden:
            findings.error(f"--{hidden[0]} has a value that the pod does not show (a variable)", pod)
            continue
        judge(pod, container, {name: value or "" for name, value in flags.items()}, days, findings)


def judge(pod: Resource, container: Container, flags: dict[str, str], days: int, findings: Findings) -> None:
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
            f"audit events go to {sink}; whether they are kept {days} days could not be read from the cluster: "
            "set --audit-log-path to a file, or leave minRetentionDays out and see to it where they go",
            pod,
        )
        return
    age = flags.get("audit-log-maxage") or "0"
    kept = days_of(age)
    if kept is None:
        findings.error(f"--audit-log-maxage is {age!r}, not a number of days", pod)
    elif 0 < kept < days:
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


def read_flags(container: Container) -> dict[str, str | None] | None:
    """Flag → value, "true" for one without, None for one that a variable hides; None if they cannot be told
    (another script, OpenShift, a word that may be any flag).

    As the API server reads them: `_` in a name is `-`, the last one counts, and nothing does after `--`.
    """
    given = words(container)
    programs = [index for index, word in enumerate(given) if (word or "").rpartition("/")[2] == NAME]
    if not programs and not any((word or "").startswith("--") for word in given):
        return None
    flags: dict[str, str | None] = {}
    rest = iter(given[programs[0] + 1 if programs else 0 :])
    for word in rest:
        if word == "--":
            break
        if word is None:
            return None
        if not word.startswith("--"):
            continue
        written, equals, value = word[2:].partition("=")
        name = written.replace("_", "-")
        if HIDDEN in written or name == "openshift-config":
            return None
        if equals:
            flags[name] = None if HIDDEN in value else value
        elif name in READ:
            following = next(rest, "")
            flags[name] = None if following is None or HIDDEN in following else following
        else:
            flags[name] = "true"
    return flags


def expand(text: str, variables: dict[str, str | None], *, others: bool) -> str:
    """`$(NAME)` as Kubernetes replaces it: `$$` is `$`, and a name that is not set stays as it is.

    others: there may be variables that the pod does not show. A value that is not shown becomes HIDDEN.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "$"
        found = variables.get(name, None if others else match[0])
        return HIDDEN if found is None else found

    return re.sub(_REFERENCE, value, text)


def variables_of(container: Container) -> tuple[dict[str, str | None], bool]:
    """Environment variables by name, None for a value from elsewhere; and whether there may be others."""
    found: dict[str, str | None] = {}
    others = bool(container.raw.get("envFrom"))
    entries = container.raw.get("env")
    if not isinstance(entries, list | None):
        entries, others = [], True
    for entry in entries or ():
        if not isinstance(entry, dict) or not isinstance(name := entry.get("name"), str):
            others = True
        else:
            value = entry.get("value") or ""
            elsewhere = bool(entry.get("valueFrom")) or not isinstance(value, str)
            made = HIDDEN if elsewhere else expand(value, found, others=others)
            found[name] = None if HIDDEN in made else made
    return found, others


def script_words(script: str) -> list[str]:
    """Of a shell's script: the one simple command that starts the API server, else one HIDDEN word."""
    script = re.sub(_DUPLICATED, ">", re.sub(_COMMENT, "", script).replace("\\\n", " "))
    lexer = shlex.shlex(script, posix=True, punctuation_chars=_BETWEEN)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = " \t\r", "", True
    commands: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word.strip(_BETWEEN):
                commands[-1].append(word)
            else:
                commands.append([])
    except ValueError:  # a quote without its end
        return [HIDDEN]
    mine = [one for one in commands if any(word.rpartition("/")[2] == NAME for word in one)]
    if len(mine) != 1:
        return [HIDDEN]
    (given,) = mine
    while given and (given[0] == "exec" or re.match(_ASSIGNED, given[0])):
        del given[0]
    if given[0].rpartition("/")[2] != NAME:
        return [HIDDEN]
    return [re.sub(_SHELL, HIDDEN, part, flags=re.DOTALL) for part in given]


def days_of(text: str) -> int | None:
    """A number as Go reads it in a flag (`030` is 24); None for any other text."""
    if not re.fullmatch(_NUMBER, text):
        return None
    try:
        return int(text, 8 if re.fullmatch(_OCTAL, text) else 0)
    except ValueError:
        return None


def words(container: Container) -> list[str | None]:
    """Command and arguments with their variables; a shell's script taken apart, where what the shell itself replaces
    is HIDDEN. None: a whole word that is not shown. The program's folder is left out.
    """
    variables, others = variables_of(container)
    given: list[str] = []
    for field in ("command", "args"):
        entries = container.raw.get(field)
        given += [
            expand(entry, variables, others=others) if isinstance(entry, str) else HIDDEN
            for entry in (entries if isinstance(entries, list) else [entries] if entries is not None else [])
        ]
    found: list[str] = []
    for index, shown in enumerate(given):
        is_script = index == 2 and given[0].rpartition("/")[2] in SHELLS and re.fullmatch(_SCRIPT, given[1])
        if is_script or (NAME in shown and any(c.isspace() for c in shown)):
            found += script_words(shown) if NAME in shown else [HIDDEN]
        else:
            found.append(shown)
        if is_script:
            break  # what follows are parameters of the script
    if found and not found[0].startswith("-"):
        found[0] = found[0].rpartition("/")[2]
    return [None if word.startswith(HIDDEN) else word for word in found]
