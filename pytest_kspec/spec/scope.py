"""Whether a namespace is in the scope of a specification: one answer for scan, webhook and generated policies.

`excludeNamespaces` wins. Otherwise a namespace is in scope if `includeNamespaces` names it (or is empty) and its
labels match `namespaceSelector` (or there is none). Objects without a namespace are always in scope: what they are
asked is about the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_kspec.kube.globs import Globs
from pytest_kspec.kube.selectors import selects

if TYPE_CHECKING:
    from pytest_kspec.spec.operations import NamespaceScope

NAME_LABEL = "kubernetes.io/metadata.name"
"""Label that the API server keeps equal to the name of each namespace; manifests need not write it."""

RESERVED_NAMESPACES = "kube-"
"""Prefix of namespaces that Kubernetes keeps for itself (kubernetes.io, Namespaces)."""


def in_scope(scope: NamespaceScope | None, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether the specification speaks about this namespace.

    namespace: name of the namespace; "" for objects of the cluster, which are always in scope
    labels:    labels of the Namespace object (never of the object in it)
    """
    if scope is None or not namespace:
        return True
    if scope.exclude_namespaces and _globs(tuple(scope.exclude_namespaces)).match(namespace):
        return False
    if not _globs(tuple(scope.include_namespaces)).match(namespace):
        return False
    selector = scope.namespace_selector
    return selector is None or selects(selector, {**labels, NAME_LABEL: namespace})


@lru_cache(maxsize=256)
def _globs(patterns: tuple[str, ...]) -> Globs:
    return Globs(patterns)
