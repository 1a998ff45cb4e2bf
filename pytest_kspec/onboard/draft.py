"""A drafted specification as YAML that people go on with: comments say what to do, and every line is valid."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.onboard.survey import Draft
from pytest_kspec.shown import printable

COMMENTS = {
    "kubernetes": "the minor version that the cluster runs today, or newer",
    "podSecurity": "the strictest level that the pods of most namespaces meet",
    "defaultDeny": "most namespaces already deny by default",
    "allowedServiceTypes": "the types in use",
    "workloads": "already met by most workloads",
    "allowedRegistries": "the registries in use",
    "rbac": "only the system has all permissions",
}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
REASON = "found by kspec init, review"


def render(draft: Draft, *, name: str, today: str, expires: str) -> str:
    """The whole file."""
    about = printable(f"{draft.cluster} {draft.version}".strip())
    lines = [
        f"# A first specification, written by kspec init on {today} from the current state of {about}.",
        "# Review it line by line: it requires the current state, which may not be what you want.",
        "# kspec validate checks it, kspec scan runs it, kspec explain ID explains a line of the report.",
        "apiVersion: kspec.dev/v1",
        "kind: ClusterSpecification",
        "metadata:",
        f"  name: {_scalar(name)}",
        '  version: "0.1.0"',
        "spec:" if draft.spec or draft.exempt else "spec: {}",
        *_mapping(draft.spec, "  "),
        *_exemptions(draft, expires),
    ]
    lines += [f"# {printable(' '.join(note.split()))}" for note in draft.notes]
    return "\n".join(lines) + "\n"


def _mapping(data: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        comment = f"  # {COMMENTS[key]}" if key in COMMENTS else ""
        if isinstance(value, dict):
            yield f"{indent}{key}:{comment}"
            yield from _mapping(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{indent}{key}:{comment}"
            yield from (f"{indent}  - {_flow(entry)}" for entry in value)
        elif isinstance(value, list):
            yield f"{indent}{key}: [{', '.join(_scalar(entry) for entry in value)}]{comment}"
        else:
            yield f"{indent}{key}: {_scalar(value)}{comment}"


def _flow(entry: dict[str, Any]) -> str:
    parts = []
    for key, value in entry.items():
        text = f"[{', '.join(_scalar(v) for v in value)}]" if isinstance(value, list) else _scalar(value)
        parts.append(f"{key}: {text}")
    return "{" + ", ".join(parts) + "}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)


def _exemptions(draft: Draft, expires: str) -> Iterator[str]:
    """One for each namespace, and one for each check about objects that have no namespace."""
    namespaces: dict[str, set[str]] = defaultdict(set)
    others: dict[str, set[ResourceRef]] = defaultdict(set)
    for check, namespace, ref in draft.exempt:
        if namespace:
            namespaces[namespace].add(check)
        else:
            others[check].add(ref)
    if not draft.exempt:
        return
    yield "  policyExemptions:  # current violations: fix them, or give a reason to keep them"
    for namespace, checks in sorted(namespaces.items()):
        yield from _head(f"found-in-{namespace}", expires)
        yield "      checks:"
        yield from (f"        - {_scalar(check)}" for check in sorted(checks))
        yield f"      namespaces: [{_scalar(namespace)}]"
    for number, (check, refs) in enumerate(sorted(others.items()), 1):
        yield from _head(f"found-{number}", expires)
        yield f"      checks: [{_scalar(check)}]"
        yield "      resources:"
        for kind, name in sorted({(ref.kind, ref.name) for ref in refs}):
            yield f"        - {_flow({'kind': kind, 'name': name})}"


def _head(name: str, expires: str) -> Iterator[str]:
    yield f"    - name: {_scalar(name)}"
    yield f"      reason: {REASON}"
    yield f"      expiresAt: {expires}"
