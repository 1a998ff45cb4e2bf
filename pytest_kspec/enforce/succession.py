"""An engine that has two kinds for the same, one of which takes over: `--kyverno-api`.

What is there of the other kind stays until what is wanted is in force, as read back: until the cluster has looked at
new policies they have no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pytest_kspec.enforce.apply import Change
from pytest_kspec.enforce.engines import InForce, Wanted
from pytest_kspec.enforce.inforce import is_being_deleted

Object = dict[str, Any]


class Succession(NamedTuple):
    """old: removals that wait; new: the kinds that are wanted."""

    old: tuple[Change, ...] = ()
    new: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Why they are there."""
        kinds = dict.fromkeys(change.kind for change in self.old)
        return (
            f"policies of kind {', '.join(kinds)} stay until those of kind {', '.join(self.new)} are in force"
        )

    @property
    def is_under_way(self) -> bool:
        """Whether something is there that works still: what was not applied yet is not missing."""
        return any(not is_being_deleted(change.before) for change in self.old)

    def of_new(self, entries: Sequence[InForce]) -> list[InForce]:
        """What was read back, without what waits to be removed."""
        kinds = {change.kind for change in self.old}
        return [entry for entry in entries if entry.kind not in kinds]


def succession(planned: Sequence[Change], manifests: Sequence[Object], wanted: Wanted) -> Succession:
    """What is to go is of a kind that is not wanted at all, while others are. Outside of active periods nothing waits:
    less is wanted then.
    """
    new = dict.fromkeys((item["apiVersion"], item["kind"]) for item in manifests)
    if not new or not wanted.active:
        return Succession()
    old = [change for change in planned if change.what == "remove"]
    old = [change for change in old if (change.api_version, change.kind) not in new]
    return Succession(tuple(old), tuple(dict.fromkeys(kind for _, kind in new)))


def is_in_force(entries: Sequence[InForce], wanted: Wanted) -> bool:
    """Whether all of it does what is wanted. What is only not type-checked yet works."""
    return bool(entries) and all(
        entry.mode == wanted.mode and (entry.pending or not entry.problems) for entry in entries
    )
