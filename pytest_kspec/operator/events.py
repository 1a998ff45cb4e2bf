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
"""Events of one change; the rest is in the status and in the log."""


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
    notes = list(notes)
    # Warnings first: what was done many times leaves room for what is wrong.
    ranked = sorted(range(len(notes)), key=lambda place: notes[place].type != "Warning")
    chosen = [notes[place] for place in sorted(ranked[:MOST])]
    for note in notes:
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


class Warned:
    """What Events warned of, of one object: each thing once, as long as it stays so. It is in memory only."""

    def __init__(self) -> None:
        self._before: set[tuple[str, str]] = set()
        self._now: set[tuple[str, str]] = set()

    def of(self, reason: str, found: Mapping[str, str], said: str = "") -> list[Note]:
        """Events of what nobody was told of. found: what is the same at the next look → the text of its Event.

        said: the condition, which has what there is room for, so that the next leader knows that
        """
        new = [
            Note("Warning", reason, text)
            for what, text in found.items()
            if (reason, what) not in self._before and what not in said
        ]
        self._now.update((reason, what) for what in found)
        return new

    def over(self, *, whole: bool = True) -> None:
        """The look is over. whole: it came to its end, so that what it did not name is not so any more."""
        self._before = self._now if whole else self._before | self._now
        self._now = set()
