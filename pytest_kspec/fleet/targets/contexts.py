"""Contexts of the kubeconfig as targets. Labels of a context are in its extension `kspec.io`, which kubectl keeps."""

from __future__ import annotations

from typing import Any

from pytest_kspec.cluster.api.contexts import find_context
from pytest_kspec.cluster.api.kubeconfig import KubeConfig, missing_files, read_kubeconfig
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import KspecError, SourceUnavailable, UsageError
from pytest_kspec.fleet.targets.model import Target

EXTENSION = "kspec.io"


def context_targets(kubeconfig: str | None = None) -> list[Target]:
    """All contexts, by name; an odd one is a target with a problem. Raises UsageError for an unreadable kubeconfig."""
    known = read_kubeconfig(kubeconfig)
    if not known.contexts and (missing := missing_files(kubeconfig)):
        raise UsageError(f"there are no contexts: {missing}")
    return [_target(known, name, kubeconfig) for name in sorted(known.contexts)]


def _target(known: KubeConfig, name: str, kubeconfig: str | None) -> Target:
    problem: KspecError | None = None
    server, labels = "", None
    try:
        labels = _labels(known.contexts[name].data, name)
        server = find_context(known, name).cluster.server or ""
    except KspecError as error:
        problem = error

    def opener(limits: Limits | None) -> LiveSource:
        return LiveSource(name, kubeconfig=kubeconfig, limits=limits)

    return Target(name, f"context:{name}", "context", opener, labels, server, problem=problem)


def _labels(context: Any, name: str) -> dict[str, str]:
    extensions = context.get("extensions") if isinstance(context, dict) else None
    for one in extensions or ():
        if isinstance(one, dict) and one.get("name") == EXTENSION:
            extension = one.get("extension")
            found = extension.get("labels") if isinstance(extension, dict) else None
            if not isinstance(found, dict) or not all(
                isinstance(part, str) for pair in found.items() for part in pair
            ):
                raise SourceUnavailable(
                    f"the extension {EXTENSION} of the context has no `labels` of texts.", where=name
                )
            return dict(found)
    return {}


def auth_of(known: KubeConfig, name: str) -> str:
    """How a context logs in, in the words of v0.3 (token, client-cert, unknown) and, new, exec."""
    try:
        user = find_context(known, name).user
    except KspecError:
        return "unknown"
    if user.token or user.token_file:
        return "token"
    if user.client_certificate or user.client_certificate_data:
        return "client-cert"
    return "exec" if user.exec is not None else "unknown"
