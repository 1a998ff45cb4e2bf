"""What kspec has put into a cluster to enforce specifications: found by its labels, whatever the engine."""

from __future__ import annotations

from typing import NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.names import GENERATED_LABEL
from pytest_kspec.errors import NotServed
from pytest_kspec.extend.places import ENGINES


class Ours(NamedTuple):
    """One object of ours."""

    api_version: str
    kind: str
    name: str
    namespace: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def policies(writer: Writer) -> list[Ours]:
    """All of every engine of ours. Raises SourceError: then it is not known."""
    found: dict[tuple[str, str, str], Ours] = {}
    kinds = {kind for name in ("vap", "kyverno", "webhook") for kind in ENGINES.load(name).KINDS}
    for api_version, kind in sorted(kinds):
        try:
            items = writer.list(api_version, kind, label_selector=f"{GENERATED_LABEL}=true")
        except NotServed:
            continue
        for item in items:
            metadata = item["metadata"]
            one = Ours(
                api_version,
                kind,
                metadata["name"],
                metadata.get("namespace") or "",
                metadata.get("uid") or "",
            )
            found[kind, one.namespace, one.name] = one
    return sorted(found.values(), key=lambda one: ("Binding" not in one.kind, one))


def delete(one: Ours, writer: Writer) -> None:
    """Raises SourceError."""
    writer.delete(one.api_version, one.kind, one.name, namespace=one.namespace, uid=one.uid)
