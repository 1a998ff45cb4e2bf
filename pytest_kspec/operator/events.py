"""Events about specifications: what `kubectl describe` and `kubectl events` show. Written on a change only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kspec import clock
from pytest_kspec.audit.loglines import fields
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import SourceError
from pytest_kspec.operator.status import Note, stamp
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND

log = logging.getLogger("kspec.operator")

COMPONENT = "kspec-operator"
NAMESPACE = "default"
"""Where Events about objects without a namespace belong."""

LONGEST_MESSAGE = 1000
MOST = 20
"""Events of one change; the rest is in the status."""


def tell(access: Access, about: Mapping[str, Any], notes: Iterable[Note]) -> None:
    """Write them if there are any; one that is not accepted costs nothing else. Raises LostLease."""
    notes = list(notes)
    if not notes:
        return
    try:
        access.do(lambda writer: write_events(writer, about, notes))
    except SourceError as error:
        log.warning("%s: an Event was not written: %s", about["metadata"]["name"], error)


def write_events(writer: Writer, about: Mapping[str, Any], notes: Iterable[Note]) -> None:
    """Write them, and say each in the log. Raises SourceError at the first that is not accepted."""
    metadata = about["metadata"]
    namespace = metadata.get("namespace") or ""
    now = stamp(clock.now())
    chosen = list(notes)[:MOST]
    for note in chosen:
        level = logging.WARNING if note.type == "Warning" else logging.INFO
        kind = about.get("kind") or SPEC_KIND
        log.log(
            level, "%s", note.reason, extra=fields(kind=kind, name=metadata["name"], message=note.message)
        )
    for note in chosen:
        writer.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {
                    "generateName": f"{metadata['name'][:200]}.",
                    "namespace": namespace or NAMESPACE,
                },
                "involvedObject": {
                    "apiVersion": about.get("apiVersion") or RESOURCE_VERSION,
                    "kind": about.get("kind") or SPEC_KIND,
                    "name": metadata["name"],
                    **({"namespace": namespace} if namespace else {}),
                    "uid": metadata.get("uid", ""),
                },
                "reason": note.reason,
                "message": note.message[:LONGEST_MESSAGE],
                "type": note.type,
                "source": {"component": COMPONENT},
                "reportingComponent": COMPONENT,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
            field_manager=COMPONENT,
        )
