"""The texts of what a source could not give: one wording for live clusters, snapshots and tests."""

from __future__ import annotations

import copy
import difflib
import os
import traceback
from collections.abc import Iterable

from pytest_kspec.errors import (
    AccessDenied,
    KspecError,
    NotApplicable,
    NotServed,
    SourceError,
    SourceUnavailable,
)
from pytest_kspec.kube.resources import ResourceType


def access_denied(
    resource_type: ResourceType,
    where: str,
    *,
    verb: str = "list",
    reason: str = "forbidden",
    namespace: str = "",
) -> AccessDenied:
    """`cannot list pods: forbidden`, and which permission to grant. namespace: the one that was read; "" for all."""
    whom = f"this user, in namespace {namespace}" if namespace else "the user of the scan, cluster-wide"
    group = f" in API group {resource_type.group}" if resource_type.group else ""
    return AccessDenied(
        f"cannot {verb} {resource_type.resource}: {reason}.",
        where=where,
        fix=f"Grant the verb {verb} on {resource_type.plural}{group} to {whom}.",
    )


def not_served(
    kind: str, group: str | None, where: str, known: Iterable[str] = (), *, what: str = ""
) -> NotServed:
    """The cluster has no such kind; with near names."""
    name = f"{kind} in API group {group or 'core'}" if group is not None else kind
    near = difflib.get_close_matches(kind, sorted(set(known)), n=1)
    fix = f"Did you mean {near[0]}?" if near and near[0] != kind else ""
    return NotServed(what or f"the kind {name} is not served.", where=where, fix=fix)


def error_of(error: Exception, where: str) -> KspecError:
    """Whatever reading a cluster raised, as an error of that cluster, so that it reaches no other one.

    A foreign error's text is left out: it may hold what no message shows.
    """
    if isinstance(error, SourceError | NotApplicable):
        return fresh(error)
    if isinstance(error, KspecError):
        return SourceUnavailable(error.what, where=error.where or where, fix=error.fix)
    frames = traceback.extract_tb(error.__traceback__)
    at = f" in {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return SourceUnavailable(
        f"the cluster could not be read: {type(error).__name__}{at}.",
        where=where,
        fix="This is a bug in pytest-kspec; please report it.",
    )


def fresh(error: KspecError) -> KspecError:
    """A copy without traceback: a cached error is raised once for each check that needs it."""
    return copy.copy(error)
