"""Which cluster a result is about: its UID, not its name, since two kubeconfigs may call two clusters the same.

The UID of a cluster is that of its namespace kube-system, as the Kubernetes project recommends. Manifests have none,
and a server may refuse to tell it: their identity is stated by source and name, and is only as good as the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LIVE = "live:"
"""How the identity of a cluster begins that could not be asked for its UID."""
LONGEST = 200
"""Characters of an identity; a UID has 36."""


def cluster_id(uid: str, source: str, name: str) -> str:
    """The UID where it is known, else `live:NAME`, `snapshot:NAME` or `manifests:NAME`."""
    return (uid or f"{source}:{name}")[:LONGEST]


def is_stated(identity: str) -> bool:
    """Whether it was made of source and name, because no UID was known."""
    return identity.startswith((LIVE, "snapshot:", "manifests:"))


def is_of_live(identity: str) -> bool:
    """Whether it is one of a cluster that could not be asked: a later result of its name may tell the UID."""
    return identity.startswith(LIVE)


def short(identity: str) -> str:
    """Enough of it for people to tell two clusters of one name apart: the first 8 characters of a UID."""
    return identity if is_stated(identity) else identity[:8]


def labels(clusters: Iterable[tuple[str, str]]) -> dict[str, str]:
    """How to call each cluster: its last given name, with the beginning of its identity where two share a name.

    clusters: (identity, name), oldest first
    """
    names = dict(clusters)
    used = list(names.values())
    return {
        identity: f"{name} ({short(identity)})" if used.count(name) > 1 else name
        for identity, name in names.items()
    }


def called(clusters: Sequence[tuple[str, str]]) -> list[str]:
    """How to call the cluster of each result of one scan: as the user named it, else as in `labels`.

    One cluster may be named twice: contexts of two users, or two snapshots of it. clusters: (identity, name)
    """
    named: dict[str, set[str]] = {}
    for identity, name in clusters:
        named.setdefault(name, set()).add(identity)
    return [f"{name} ({short(identity)})" if len(named[name]) > 1 else name for identity, name in clusters]
