"""Whether a namespace is in the scope of a specification: one answer for scan, webhook and generated policies.

`excludeNamespaces` wins. Otherwise a namespace is in scope if `includeNamespaces` names it (or is empty) and its
labels match `namespaceSelector` (or there is none). Objects without a namespace are always in scope: what they are
asked is about the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_kspec.errors import Malformed
from pytest_kspec.model.globs import Globs

if TYPE_CHECKING:
    from pytest_kspec.model.spec_operator import LabelRequirement, LabelSelector, NamespaceScope

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


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """A Kubernetes label selector: all of it must be true; an empty one selects everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(requirement, labels) for requirement in selector.match_expressions
    )


def label_selector(data: object) -> LabelSelector | None:
    """A selector as an object or a check has it: `matchLabels`, `matchExpressions`. None is None: it selects nothing.

    Raises Malformed for what is no selector.
    """
    if data is None:
        return None
    try:
        return _parsed(json.dumps(data, sort_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(
            f"this is no label selector ({error}). Write {{'matchLabels': {{…}}}}, as Kubernetes does; the selector "
            "of a Service is the inside of matchLabels."
        ) from error


@lru_cache(maxsize=256)
def _parsed(text: str) -> LabelSelector:
    from pydantic import ValidationError

    from pytest_kspec.model.spec_operator import LabelSelector

    try:
        return LabelSelector.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}".lstrip(": ")) from error


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":  # as in Kubernetes, a label that is not there is not one of the values
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


@lru_cache(maxsize=256)
def _globs(patterns: tuple[str, ...]) -> Globs:
    return Globs(patterns)
