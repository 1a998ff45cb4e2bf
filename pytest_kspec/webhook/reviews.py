"""Bytes → `decide` → bytes: one review from its body to its answer, with everything that is said about it on
the way (metrics, audit, Events, breaker).

Whatever goes wrong, the answer carries the uid of the request and is what the specifications say.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from pytest_kspec.enforce import admission
from pytest_kspec.enforce.admission import AdmissionRequest
from pytest_kspec.enforce.decide import ALLOWED, Decision, Policies, decide, not_evaluated
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.errors import KspecError
from pytest_kspec.webhook import audit
from pytest_kspec.webhook.breaker import Breaker, State
from pytest_kspec.webhook.metrics import Metrics

log = logging.getLogger("kspec.webhook")

OPEN = "the circuit breaker is open after internal errors"
BROKEN = "an internal error"


class Put(Protocol):
    """What takes a record and never waits."""

    def put(self, record: Any) -> None:
        """Add one."""
        ...


class Labels(Protocol):
    """Labels of namespaces."""

    async def of(self, namespace: str) -> Mapping[str, str] | None:
        """None where they cannot be read."""
        ...


@dataclass(slots=True)
class Reviewer:
    """Answers reviews. `policies` is exchanged whole when specifications change; None: none are loaded yet.

    excluded: namespaces whose requests are allowed unseen, as the registration leaves them out, too
    """

    metrics: Metrics
    breaker: Breaker
    policies: Policies | None = None
    excluded: frozenset[str] = frozenset()
    labels: Labels | None = None
    audit: Put | None = None
    events: Put | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def policy(self, name: str) -> Policy | None:
        """The policy that a registration calls by this name (`enforce.names.spec_id`)."""
        return self.policies.by_id.get(name) if self.policies is not None else None

    async def review(self, body: bytes, only: Policy | None = None) -> bytes:
        """The answer to one review. Raises NotAReview; everything else that goes wrong is an answer.

        only: the policy that is asked for; None: all
        """
        started = time.perf_counter()
        try:
            request = admission.read_review(body)
        except admission.NotAReview as error:
            self.refuse("bad_request", str(error))
            raise
        answer, result = await self._answer(request, only)
        self.metrics.requests[result].inc()
        self.metrics.duration[result].observe(time.perf_counter() - started)
        return answer

    def refuse(self, result: str, why: str) -> None:
        """Count and record a request that gets an HTTP error instead of an answer."""
        self.metrics.requests[result].inc()
        if self.audit is not None:
            self.audit.put(audit.refused(why, self.now()))

    async def _answer(self, request: AdmissionRequest, only: Policy | None) -> tuple[bytes, str]:
        policies = self.policies
        assert policies is not None, "the application answers 503 until there are some"
        if request.namespace in self.excluded:
            self.metrics.allowed()
            return admission.allow(request.uid), "success"
        moment = self.now()
        if not self.breaker.allow():
            decision = not_evaluated(request, policies, moment, None, OPEN, internal=True)
            decision = decision.by(only) if only is not None else decision
            return self._say(request, decision, moment), "circuit_breaker_tripped"
        labels: Mapping[str, str] | None = None
        try:
            if policies.needs_labels and self.labels is not None and request.namespace:
                labels = await self.labels.of(request.namespace)
            decision = decide(request, policies, moment, labels)
        except Exception as error:  # noqa: BLE001 - whatever breaks here, there must be an answer
            log.error("review %s: %s", request.uid, _trace(error))
            decision = not_evaluated(request, policies, moment, labels, BROKEN, internal=True)
        if only is not None and decision is not ALLOWED:
            decision = decision.by(only)
        failed = decision.is_internal_error
        self.breaker.record(failed=failed)
        if decision is ALLOWED:
            self.metrics.allowed()
            return admission.allow(request.uid), "success"
        return self._say(request, decision, moment), "error" if failed else "success"

    def _say(self, request: AdmissionRequest, decision: Decision, moment: datetime) -> bytes:
        word = audit.strictest(decision)
        modes = [str(item.policy.mode) for item in decision.found if audit.action_of(item) == word]
        modes += [str(failure.policy.mode) for failure in decision.failures if failure.policy]
        self.metrics.said(word, modes[0] if modes else "")
        if decision.failed_open:
            self.metrics.fail_open.inc()
            log.warning("review %s: failed open: %s", request.uid, decision.failures[0].what)
        if word != "allowed":
            done = {(item.policy.name, audit.action_of(item)) for item in decision.found}
            done |= {(failure.policy.name, "failed") for failure in decision.failures if failure.policy}
            for policy, action in sorted(done):
                self.metrics.did(policy, action)
            entry = audit.record(request, decision, moment)
            if self.audit is not None:
                self.audit.put(entry)
            if self.events is not None and not request.dry_run:
                self.events.put(entry)
        return admission.write_answer(
            request.uid,
            allowed=decision.allowed,
            message="" if decision.allowed else decision.message,
            warnings=decision.warnings,
            annotations=_annotations(decision),
        )


def _annotations(decision: Decision) -> dict[str, str]:
    """For the API server's own audit log: which requirements, never what was there."""
    found: dict[str, str] = {}
    for item in decision.found:
        action = audit.action_of(item)
        found[action] = admission.cut(f"{found.get(action, '')} {item.rule.requirement.id}".strip(), 1000)
    if decision.failed_open:
        found["failed-open"] = decision.failures[0].what
    return found


def _trace(error: Exception) -> str:
    """Where it broke, without what the object held: an exception's text may repeat that."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "?"
    what = f": {error}" if isinstance(error, KspecError) else ""
    return f"{type(error).__name__} at {where}{what}"


def is_open(breaker: Breaker) -> float:
    """1 while nothing is evaluated."""
    return 1.0 if breaker.state is State.OPEN else 0.0
