"""Writing a status: only where something changed, and only of the object that was looked at.

Others may write to the same status at any time; theirs is read again, and what they hold stays. What changed its `spec`
meanwhile, was deleted, or was made anew is another object: what was found is not about it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import Conflict, NotFound
from pytest_kspec.operator.status import status_of

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]

FIELD_MANAGER = "kspec-operator"
_WRITES = 3


class Change(NamedTuple):
    """The status before and after; equal where there was nothing to write."""

    before: Object
    after: Object


def bring(access: Access, found: Mapping[str, Any], after_of: Callable[[Object], Object]) -> Change | None:
    """Bring the status of an object to what `after_of` makes of the present one. None: it is another object now.

    found: as the API server returned it, with apiVersion and kind. Raises Conflict where others write to it all the
    time, SourceError.
    """
    metadata = found["metadata"]
    place = found["apiVersion"], found["kind"], metadata["name"]

    def act(writer: Writer) -> Change | None:
        current = writer.find(*place, namespace=metadata.get("namespace", ""))
        if current is None or _identity(current) != _identity(found):
            return None
        before = status_of(current)
        after = after_of(before)
        if after != before:
            sent = {**current, "status": after}
            written = writer.replace(sent, field_manager=FIELD_MANAGER, subresource="status")
            if lost := dropped(after, status_of(written)):
                log.warning(
                    "the definition of %s does not have %s, which is not in the status of any: "
                    "kspec crds | kubectl apply --server-side -f -",
                    found["kind"], ", ".join(lost[:3]),
                )  # fmt: skip
        return Change(before, after)

    for attempt in range(_WRITES):
        try:
            return access.do(act)
        except NotFound:
            return None  # deleted between the two
        except Conflict:
            if attempt + 1 == _WRITES:
                raise
    raise AssertionError


def dropped(sent: Mapping[str, Any], kept: Mapping[str, Any], path: str = "status") -> list[str]:
    """Fields that the API server did not keep: its definition is of another version."""
    found = []
    for key, value in sent.items():
        if key not in kept:
            found.append(f"{path}.{key}")
        elif isinstance(value, dict) and isinstance(kept[key], dict):
            found += dropped(value, kept[key], f"{path}.{key}")
    return found


def is_there(access: Access, found: Mapping[str, Any]) -> bool:
    """Whether an object is there as it was looked at, its status and metadata aside. Raises SourceError."""
    metadata = found["metadata"]
    place = found["apiVersion"], found["kind"], metadata["name"]
    current = access.do(lambda writer: writer.find(*place, namespace=metadata.get("namespace", "")))
    return current is not None and _identity(current) == _identity(found)


def _identity(item: Mapping[str, Any]) -> tuple[Any, Any]:
    return item["metadata"].get("uid"), item["metadata"].get("generation")
