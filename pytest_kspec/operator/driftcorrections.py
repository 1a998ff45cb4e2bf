"""What a DriftConfig corrects of policies, by the rules of `drift.correcting`, and the Events of that."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.models.driftconfig import DriftConfigSpec
from pytest_kspec.drift import correcting, policies
from pytest_kspec.drift.events import DriftEvent, DriftType, Status
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.drift.words import TYPES
from pytest_kspec.errors import SpecError
from pytest_kspec.operator import driftsaid, enforcing, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.drifthistory import Subject
from pytest_kspec.operator.events import Warned
from pytest_kspec.operator.removing import remove
from pytest_kspec.operator.status import Note
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec

log = logging.getLogger("kspec.operator")

Object = dict[str, Any]


class Asked(NamedTuple):
    """item: the ClusterSpecification as it was read; load: reads it; left: corrections that this run may still make."""

    item: Object
    load: Callable[[Object], LoadedSpec]
    config: DriftConfigSpec
    now: datetime
    left: int


class Corrections:
    """Those of one process. It remembers what Events warned of."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._warned: dict[Subject, Warned] = {}

    def forget(self, config: str) -> None:
        """The DriftConfig of this name is gone."""
        for one in [one for one in self._warned if one.config == config]:
            del self._warned[one]

    def make(
        self, what: Subject, asked: Asked, drifted: Sequence[policies.Drifted], writer: Writer
    ) -> tuple[list[DriftEvent], list[Note]]:
        """What became of differences, and Events of that. what: the specification, and the DriftConfig."""
        rule, now = asked.config.remediation, asked.now
        if rule is None or rule.strategy == "Report" or not drifted:
            return [one.event for one in drifted], []
        types = frozenset(type for type, word in TYPES.items() if word in rule.types)
        rules = correcting.Rules(
            types or frozenset((DriftType.POLICY,)), rule.delete_extra, max(0, asked.left)
        )
        memory = InCluster(writer, what.spec, uid=asked.item["metadata"].get("uid", ""))
        if rule.strategy == "Apply" and (why := memory.forbidden()):
            return [one.event for one in correcting.forbidden(drifted, why, status.stamp(now))], []
        decided = correcting.decide(drifted, rules, memory.since(now - correcting.WINDOW), status.stamp(now))
        if rule.strategy == "DryRun":
            return [one.event for one in decided], []
        events = list(correcting.carry_out(decided, writer, memory, clock.now, spec=what.spec))
        if any(one.acts for one in decided):
            _take_back(asked, writer)
        moment = clock.now()
        self._board.corrected(what.spec, memory.since(moment - correcting.WINDOW), moment)
        notes = []
        failed: dict[str, str] = {}
        fights: dict[str, str] = {}
        for event in events:
            if (done := event.remediation) is None:
                continue
            if done.status is Status.REMEDIATED:
                who = f"It was {driftsaid.who(event)}." if event.author is not None else ""
                told = " ".join(filter(None, (event.message, who, done.details)))
                notes.append(Note("Normal", "DriftRemediated", told))
            elif correcting.is_failed(event):
                failed[str(event.resource)] = f"{event.resource}: {done.error}"
            elif correcting.is_fight(event):
                fights[str(event.resource)] = f"{event.resource}: {done.details}"
        warned = self._warned.setdefault(what, Warned())
        notes += warned.of("RemediationFailed", failed) + warned.of("DriftFight", fights)
        warned.over()
        return events, notes


def _take_back(asked: Asked, writer: Writer) -> None:
    """What was removed while it was corrected was made again, and nobody else would ever remove it."""
    if not _is_over(asked, writer):
        return
    name = asked.item["metadata"]["name"]
    if (failure := remove(name, writer).failure) is not None:
        log.error("%s: policies that were applied for it may still exist: %s", name, failure)


def _is_over(asked: Asked, writer: Writer) -> bool:
    """Whether nothing may be applied any more for a specification that was read before.

    One that is deleted later is found with all that is applied for it.
    """
    metadata = asked.item["metadata"]
    current = writer.find(RESOURCE_VERSION, SPEC_KIND, metadata["name"])
    if current is None:
        return True
    if current["metadata"].get("uid") != metadata.get("uid"):
        return False  # another one of this name, which looks after its own
    if current["metadata"].get("deletionTimestamp"):
        return True
    try:
        return not enforcing.asks(asked.load(current))
    except SpecError:
        return False  # what it asked for before stays
