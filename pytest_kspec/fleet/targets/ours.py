"""What kspec has put into a cluster to enforce specifications: found by its labels, whatever the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import engine, engines
from pytest_kspec.enforce.names import GENERATED_LABEL
from pytest_kspec.enforce.webhook_install import DEPLOYMENT, INSTALLED
from pytest_kspec.errors import NotServed

SECRETS = ("v1", "Secret")


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
    """All of every engine of ours, and the webhooks that `kspec fleet enforce` has deployed, in the order in which they
    can be deleted: what calls something goes before it. Raises SourceError: then it is not known.
    """
    registered = [kind for name in engines() for kind in reversed(engine(name).KINDS)]
    found = _listed(writer, [*registered, DEPLOYMENT])
    if any(one.kind == DEPLOYMENT[1] for one in found):
        found += _listed(writer, [*(kind for kind in reversed(INSTALLED) if kind != DEPLOYMENT), SECRETS])
    return found


def _listed(writer: Writer, kinds: Iterable[tuple[str, str]]) -> list[Ours]:
    found: dict[tuple[str, str, str], Ours] = {}
    for api_version, kind in kinds:
        try:
            items = writer.list(api_version, kind, label_selector=f"{GENERATED_LABEL}=true")
        except NotServed:
            continue
        for item in items:
            metadata = item["metadata"]
            namespace = metadata.get("namespace") or ""
            one = Ours(api_version, kind, metadata["name"], namespace, metadata.get("uid") or "")
            found.setdefault((kind, namespace, one.name), one)
    return list(found.values())


def delete(one: Ours, writer: Writer) -> None:
    """Raises SourceError."""
    writer.delete(one.api_version, one.kind, one.name, namespace=one.namespace, uid=one.uid)
