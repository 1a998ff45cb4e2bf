"""Which ClusterTargets use the same Secret, or are the same cluster: one that is renamed is made anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def secrets_of(target: Mapping[str, Any]) -> frozenset[str]:
    """Names of the Secrets beside a ClusterTarget that it refers to, as far as its spec can be read."""
    spec = target.get("spec")
    beside = ("", target["metadata"].get("namespace", ""))
    found = set()
    for field, ref in (spec if isinstance(spec, dict) else {}).items():
        if not field.endswith("SecretRef") or not isinstance(ref, dict):
            continue
        if ref.get("store", "kubernetes") == "kubernetes" and ref.get("namespace", "") in beside:
            found.add(str(ref.get("name", "")))
    return frozenset(found)


def users_of(secrets: Iterable[str], targets: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the ClusterTargets that refer to one of them, in order."""
    wanted = frozenset(secrets)
    return sorted(str(one["metadata"]["name"]) for one in targets if wanted & secrets_of(one))


def same_cluster(target: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of those that are the same cluster: with the same UID, or the same server by the same credentials.

    The same server alone says little: two networks may have the same addresses, each behind a proxy of its own.
    """
    uid, server, secrets = _uid(target), _server(target), secrets_of(target)
    found = []
    for one in others:
        if uid and _uid(one):
            same = uid == _uid(one)
        else:
            same = bool(server and server == _server(one) and secrets & secrets_of(one))
        if same:
            found.append(str(one["metadata"]["name"]))
    return sorted(found)


def _uid(target: Mapping[str, Any]) -> str:
    status = target.get("status")
    return str(status.get("uid") or "") if isinstance(status, dict) else ""


def _server(target: Mapping[str, Any]) -> str:
    spec = target.get("spec")
    return str(spec.get("apiServerURL") or "").rstrip("/") if isinstance(spec, dict) else ""
