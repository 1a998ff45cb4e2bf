"""Findings that a baseline has, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct


class Covered(NamedTuple):
    """A cluster and a specification that the baseline was made from; without findings too.

    cluster_id: its identity (`ClusterResult.id`); "" in a file that an older version wrote, which knows names only
    """

    cluster: str
    spec: str
    cluster_id: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the file."""
        return _wire(self)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> Covered:
        """The inverse of `to_wire`. Raises KeyError, TypeError."""
        return cls(*_texts(data, "cluster", "spec"))


class KnownFinding(NamedTuple):
    """One line. id: fingerprint; what: owner and field, for people; never the value.

    cluster_id: as in `Covered`; where it is "" the fingerprint is one by the cluster's name.
    """

    cluster: str
    spec: str
    check: str
    what: str
    id: str
    cluster_id: str = ""

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the file and in the JSON report."""
        return _wire(self)

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> KnownFinding:
        """The inverse of `to_wire`. Raises KeyError, TypeError."""
        return cls(*_texts(data, "cluster", "spec", "check", "what", "id"))


def _wire(entry: Covered | KnownFinding) -> dict[str, Any]:
    wire = entry._asdict()
    if identity := wire.pop("cluster_id"):
        wire["clusterId"] = identity
    return wire


def _texts(data: Mapping[str, Any], *names: str) -> list[str]:
    values = [*(data[name] for name in names), data.get("clusterId", "")]
    if not all(isinstance(value, str) for value in values):
        raise TypeError("every value of an entry must be a string")
    return values


class BaselineUse(Struct, frozen=True):
    """What became of the baseline on one cluster, for every report.

    path:    the file, as it was given
    covered: it was made from this cluster and specification; if not, everything is new
    fixed:   entries that were looked for and are not there any more
    """

    path: str
    covered: bool
    fixed: tuple[KnownFinding, ...] = ()

    def to_wire(self) -> dict[str, Any]:
        """Plain data, keys as in the JSON report."""
        return {"path": self.path, "covered": self.covered, "fixed": [k.to_wire() for k in self.fixed]}

    @classmethod
    def from_wire(cls, data: Mapping[str, Any]) -> BaselineUse:
        """The inverse of `to_wire`."""
        return cls(data["path"], data["covered"], tuple(map(KnownFinding.from_wire, data["fixed"])))
