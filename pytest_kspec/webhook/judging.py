"""Request → everything that is said about it, as plain data: it may be made in another process.

`Reviewer` says it: counts, answers, records. Nothing here does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from pytest_kspec.audit.record import Record
from pytest_kspec.enforce import admission
from pytest_kspec.enforce.admission import AdmissionRequest
from pytest_kspec.enforce.decide import Policies, Seen, look, not_evaluated, weigh
from pytest_kspec.enforce.decision import ALLOWED, Decision
from pytest_kspec.errors import KspecError
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.webhook import audit

log = logging.getLogger("kspec.webhook")

OPEN = "the circuit breaker is open after internal errors"
BROKEN = "an internal error"
MOST_REMEMBERED = 16_000
"""Bytes of JSON that a record says, where it is remembered."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """What is said about one request.

    answer:    an AdmissionReview, encoded
    action:    the strictest thing that was said; "" where nobody had anything to say
    mode:      of the policy that said it
    actions:   (policy, what it did)
    record:    for audit log and Events; None for none
    is_error:  something went wrong here; open_because: why something that enforces was not evaluated and allowed it
    """

    answer: bytes
    action: str = ""
    mode: str = ""
    actions: list[tuple[str, str]] = []
    record: dict[str, Any] | None = None
    is_error: bool = False
    open_because: str = ""


class _Told(msgspec.Struct, frozen=True):
    """What is said about a request, but for what is its own: uid, user, object, time. rest: of the answer.

    said: of the record; None for none
    """

    rest: bytes
    action: str
    mode: str
    actions: list[tuple[str, str]]
    said: Record | None
    is_error: bool
    open_because: str


def judge(
    request: AdmissionRequest,
    policies: Policies,
    only: str,
    moment: datetime,
    labels: Mapping[str, str] | None,
) -> Said:
    """Evaluate it. only: id of the policy that is asked for, "" for all. Raises MemoryError, and nothing else."""
    try:
        seen = look(request, policies, moment, labels)
        if seen is ALLOWED:
            return Said(admission.allow(request.uid))
        if isinstance(seen, Seen):
            return _weighed(request, seen, policies, only, moment, labels)
        decision = seen
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever breaks here, there must be an answer
        log.error("review %s: %s", request.uid, trace(error))
        decision = not_evaluated(request, policies, moment, labels, BROKEN, internal=True)
    return say(request, decision, policies, only, moment)


def _weighed(
    request: AdmissionRequest,
    seen: Seen,
    policies: Policies,
    only: str,
    moment: datetime,
    labels: Mapping[str, str] | None,
) -> Said:
    """Pods of one template, whom no exemption may concern, are told the same: it is made once."""
    key = policies.alike(seen, moment), only
    told = policies.told(key, seen)
    if told is None:
        decision = weigh(seen, policies, moment, labels)
        told = _told(decision, policies, only)
        if decision.is_plain and (told.said is None or len(msgspec.json.encode(told.said)) < MOST_REMEMBERED):
            policies.remember(key, seen, told)
    return _said(request, told, seen.subject.ref, moment)


def without_evaluation(
    request: AdmissionRequest, policies: Policies, only: str, moment: datetime, what: str, *, internal: bool
) -> Said:
    """Each policy does as its failure policy says."""
    decision = not_evaluated(request, policies, moment, None, what, internal=internal)
    return say(request, decision, policies, only, moment)


def say(
    request: AdmissionRequest, decision: Decision, policies: Policies, only: str, moment: datetime
) -> Said:
    """What is said about a request that was decided so."""
    return _said(request, _told(decision, policies, only), decision.resource, moment)


def _told(decision: Decision, policies: Policies, only: str) -> _Told:
    if only and decision is not ALLOWED:
        decision = decision.by(policies.by_id[only])
    if decision is ALLOWED:
        return _NOTHING
    word = audit.strictest(decision)
    modes = [str(item.policy.mode) for item in decision.found if audit.action_of(item) == word]
    modes += [str(failure.policy.mode) for failure in decision.failures if failure.policy]
    done = {(item.policy.name, audit.action_of(item)) for item in decision.found}
    done |= {(failure.policy.name, "failed") for failure in decision.failures if failure.policy}
    return _Told(
        rest=admission.rest_of_answer(
            allowed=decision.allowed,
            message="" if decision.allowed else decision.message,
            warnings=decision.warnings,
            more_warnings=decision.more_warnings,
            annotations=_annotations(decision),
        ),
        action=word,
        mode=modes[0] if modes else "",
        actions=sorted(done),
        said=audit.said_of(decision, word) if word != "allowed" else None,
        is_error=decision.is_internal_error,
        open_because=decision.failures[0].what if decision.failed_open else "",
    )


_NOTHING = _Told(admission.rest_of_answer(allowed=True), "", "", [], None, False, "")


def _said(request: AdmissionRequest, told: _Told, ref: ResourceRef, moment: datetime) -> Said:
    return Said(
        answer=admission.answer(request.uid, told.rest),
        action=told.action,
        mode=told.mode,
        actions=told.actions,
        record=None if told.said is None else audit.record(request, ref, told.said, moment),
        is_error=told.is_error,
        open_because=told.open_because,
    )


def _annotations(decision: Decision) -> dict[str, str]:
    """For the API server's own audit log: which requirements, never what was there."""
    found: dict[str, dict[str, None]] = {}
    for item in decision.found:
        found.setdefault(audit.action_of(item), {})[item.rule.requirement.id] = None
    made = {action: admission.cut(" ".join(ids), 1000) for action, ids in found.items()}
    if decision.failed_open:
        made["failed-open"] = decision.failures[0].what
    return made


def trace(error: Exception) -> str:
    """Where it broke, without what the object held: an exception's text may repeat that."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    what = f": {error}" if isinstance(error, KspecError) else ""
    return f"{type(error).__name__} at {where}{what}"
