"""The finalizer of a specification: it is there while something may be applied for it, and holds up its deletion."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping
from typing import Any

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import KspecError, NotFound
from pytest_kspec.operator.events import tell
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.remote import AGAIN_S, Remote
from pytest_kspec.operator.removing import remove
from pytest_kspec.operator.status import Note, moment_of
from pytest_kspec.operator.statuswriting import FIELD_MANAGER
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]

FINALIZER = "kspec.io/finalizer"


class Holding:
    """removal_s: how long the removal of what was applied may hold up the deletion of a specification."""

    def __init__(self, access: Access, removal_s: float) -> None:
        self._access = access
        self._removal_s = removal_s

    def hold(self, found: Object) -> None:
        """Nothing is applied for what could be deleted without our knowing."""
        if not is_held(found):
            self._set(found, [*_finalizers(found), FINALIZER])

    def let_go(self, found: Object) -> None:
        """Nothing is applied for it."""
        if is_held(found):
            self._set(found, [one for one in _finalizers(found) if one != FINALIZER])

    def clear(self, found: Object) -> None:
        """Remove what is applied for it on the operator's own cluster. Raises KspecError; what is gone was told."""
        removal = self._access.do(lambda writer: remove(found["metadata"]["name"], writer))
        tell(self._access, found, removal.notes)
        if removal.failure is not None:
            raise removal.failure

    def release(self, found: Object, remote: Remote) -> float | None:
        """Remove what was applied for an object that is being deleted, then let it go; also without having removed it,
        once that took too long. As `Controller.reconcile`.
        """
        name = found["metadata"]["name"]
        if not is_held(found):
            return None
        since = moment_of(found["metadata"].get("deletionTimestamp"))
        waited = (clock.now() - since).total_seconds() if since is not None else 0.0
        is_late = waited >= self._removal_s
        left = remote.clean(name)
        if left.waits and not is_late:  # each cluster that is done, or is back, has it looked at again
            return max(1.0, min(self._removal_s - waited, AGAIN_S if left.tried else math.inf))
        if left.waits or left.others:
            text = f"policies may still exist on {', '.join([*left.waits, *left.others][:10])}"
            log.error("%s: %s", name, text)
            tell(self._access, found, [Note("Warning", "RemovalFailed", f"{text}.")])
        try:
            self.clear(found)
        except LostLease:
            raise
        except KspecError as error:
            if not is_late:
                raise
            text = f"policies that were applied for it may still exist: {error}"
            log.error("%s: %s", name, text)
            tell(self._access, found, [Note("Warning", "RemovalFailed", text)])
        with contextlib.suppress(NotFound):
            self.let_go(found)
        return None

    def _set(self, found: Object, finalizers: list[str]) -> None:
        name, version = found["metadata"]["name"], found["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": version}}
        written = self._access.do(
            lambda writer: writer.patch(RESOURCE_VERSION, SPEC_KIND, name, patch, field_manager=FIELD_MANAGER)
        )
        found["metadata"] = written["metadata"]


def held_by_others(found: Mapping[str, Any]) -> list[str]:
    """Finalizers that are not ours."""
    return [str(one) for one in _finalizers(found) if one != FINALIZER]


def is_held(found: Mapping[str, Any]) -> bool:
    """Whether something may be applied for it."""
    return FINALIZER in _finalizers(found)


def _finalizers(found: Mapping[str, Any]) -> list[str]:
    return found["metadata"].get("finalizers") or []
