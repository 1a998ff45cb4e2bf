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

from pytest_kspec.audit.record import Record
from pytest_kspec.enforce import admission
from pytest_kspec.enforce.admission import AdmissionRequest
from pytest_kspec.enforce.decide import Policies
from pytest_kspec.enforce.names import spec_id
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.observe import tracing
from pytest_kspec.webhook import audit
from pytest_kspec.webhook.breaker import Breaker, State
from pytest_kspec.webhook.judging import OPEN, Said, judge, trace, without_evaluation
from pytest_kspec.webhook.large import Large, NotJudged
from pytest_kspec.webhook.metrics import Metrics

log = logging.getLogger("kspec.webhook")


class Put(Protocol):
    """What takes a record and never waits."""

    def put(self, record: Any) -> None:
        """Add one."""
        ...


class Labels(Protocol):
    """Labels of namespaces."""

    async def of(self, namespace: str) -> Mapping[str, str] | None:
        """None where they could not be read."""
        ...


@dataclass(slots=True)
class Reviewer:
    """Answers reviews. `policies` is exchanged whole when specifications change; None: none are loaded yet.

    excluded: namespaces whose requests are allowed unseen, as the registration leaves them out, too
    large:    where large reviews are evaluated; None: here, as all others
    """

    metrics: Metrics
    breaker: Breaker
    policies: Policies | None = None
    excluded: frozenset[str] = frozenset()
    labels: Labels | None = None
    audit: Put | None = None
    events: Put | None = None
    denied: Callable[[Record], None] | None = None
    large: Large | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def policy(self, name: str) -> Policy | None:
        """The policy that a registration calls by this name (`enforce.names.spec_id`)."""
        return self.policies.by_id.get(name) if self.policies is not None else None

    async def review(self, body: bytes, only: Policy | None = None) -> bytes:
        """The answer to one review. Raises NotAReview; everything else that goes wrong is an answer.

        only: the policy that is asked for; None: all
        """
        started = time.perf_counter()
        name = spec_id(only.name) if only is not None else ""
        try:
            if tracing.is_on():
                with tracing.span("review", server=True) as span:
                    said, result = await self._said(body, name)
                    span.set({"kspec.review.result": result, "kspec.review.action": said.action or "allowed"})
                    if said.is_error:
                        span.fail("InternalError", "")
            else:
                said, result = await self._said(body, name)
        except admission.NotAReview as error:
            self.refuse("bad_request", str(error))
            raise
        return self._answer(said, result, started)

    def answers_at_once(self, size: int) -> bool:
        """Whether nothing has to be waited for, for a review of so many bytes."""
        policies = self.policies
        return (
            policies is not None
            and not (policies.needs_labels and self.labels is not None)
            and not (self.large is not None and size > self.large.above)
            and not tracing.is_on()
        )

    def at_once(self, body: bytes, only: str) -> bytes:
        """As `review`, where `answers_at_once`. Raises NotAReview, of which nothing is recorded.

        only: id of the policy that is asked for, "" for all
        """
        started = time.perf_counter()
        request, moment = admission.read_review(body), self.now()
        if request.namespace not in self.excluded and self.breaker.allow():
            said, result = self._judged(request, only, moment, None)
        else:
            said, result = self._not_judged(request, only, moment)
        return self._answer(said, result, started)

    def refuse(self, result: str, why: str) -> None:
        """Count and record a request that gets an HTTP error instead of an answer."""
        self.metrics.requests[result].inc()
        if self.audit is not None:
            self.audit.put(audit.refused(why, self.now()))

    async def _said(self, body: bytes, only: str) -> tuple[Said, str]:
        """What is said, and the result that is counted. Raises NotAReview."""
        moment = self.now()
        if self.large is not None and len(body) > self.large.above:
            return await self._said_of_large(self.large, body, only, moment)
        request = admission.read_review(body)
        if request.namespace not in self.excluded and self.breaker.allow():
            return self._judged(request, only, moment, await self._labels(request.namespace))
        return self._not_judged(request, only, moment)

    def _not_judged(self, request: AdmissionRequest, only: str, moment: datetime) -> tuple[Said, str]:
        """What is said without an evaluation."""
        if request.namespace in self.excluded:
            return Said(admission.allow(request.uid)), "success"
        said = without_evaluation(request, self._policies(), only, moment, OPEN, internal=True)
        return said, "circuit_breaker_tripped"

    def _judged(
        self, request: AdmissionRequest, only: str, moment: datetime, labels: Mapping[str, str] | None
    ) -> tuple[Said, str]:
        said = judge(request, self._policies(), only, moment, labels)
        self.breaker.record(failed=said.is_error)
        return said, "error" if said.is_error else "success"

    def _policies(self) -> Policies:
        assert self.policies is not None, "the application answers 503 until there are some"
        return self.policies

    def _answer(self, said: Said, result: str, started: float) -> bytes:
        """Counted and recorded. started: of time.perf_counter."""
        if said.action:
            self._count(said)
        self.metrics.reviewed(result, time.perf_counter() - started, allowed=not said.action)
        return said.answer

    async def _said_of_large(
        self, large: Large, body: bytes, only: str, moment: datetime
    ) -> tuple[Said, str]:
        """The same, where it is evaluated elsewhere: this process has others to answer meanwhile."""
        evaluate = self.breaker.allow()
        failed = False
        try:
            said = await large.judge(body, only, moment, self._labels, evaluate=evaluate)
            failed = said.is_error and evaluate
        except NotJudged as error:
            # Not our fault, and nobody may open the breaker by sending what is large.
            request = admission.read_review(body)
            if request.namespace in self.excluded:
                return Said(admission.allow(request.uid)), "success"
            said = without_evaluation(request, self._policies(), only, moment, str(error), internal=False)
            return said, "limited"
        finally:
            if evaluate:
                self.breaker.record(failed=failed)
        if not evaluate:
            return said, "circuit_breaker_tripped"
        return said, "error" if said.is_error else "success"

    async def _labels(self, namespace: str) -> Mapping[str, str] | None:
        """Labels of the namespace, where a policy asks for them; None where they are not known."""
        policies = self.policies
        if policies is None or not policies.needs_labels or self.labels is None or not namespace:
            return None
        try:
            return await self.labels.of(namespace)
        except Exception as error:  # noqa: BLE001 - whatever breaks here, there must be an answer
            log.error("labels of the namespace %s: %s", namespace, trace(error))
            return None

    def _count(self, said: Said) -> None:
        """Metrics, audit log and Events of what was said."""
        self.metrics.said(said.action, said.mode)
        if said.open_because:
            self.metrics.fail_open.inc()
            uid = said.record["uid"] if said.record else ""
            log.warning("review %s: failed open: %s", uid, said.open_because)
        if said.record is None:
            return
        for policy, action in said.actions:
            self.metrics.did(policy, action)
        if self.audit is not None:
            self.audit.put(said.record)
        if said.record["dryRun"]:
            return
        if self.events is not None:
            self.events.put(said.record)
        if self.denied is not None and said.action == "denied":
            self.denied(said.record)


def is_open(breaker: Breaker) -> float:
    """1 while nothing is evaluated."""
    return 1.0 if breaker.state is State.OPEN else 0.0
