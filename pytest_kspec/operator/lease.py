"""Who leads: a Lease that one replica holds and the others wait for.

Only this machine's monotonic clock counts: what others wrote as times is never compared, only whether it changed. A
leader knows by itself when its Lease may have been taken, before anybody takes it: from then on `check` refuses.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pytest_kspec.audit.loglines import fields
from pytest_kspec.audit.record import Outcome
from pytest_kspec.audit.trail import about, emit
from pytest_kspec.cluster.limits import MIB, Limits
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import Conflict, KspecError, NotFound, SourceError

log = logging.getLogger("kspec.operator.lease")

API_VERSION = "coordination.k8s.io/v1"
KIND = "Lease"
NAME = "kspec-operator-lock"
FIELD_MANAGER = "kspec-operator"
LONGEST_S = 3600.0
"""Of any lease: no replica may have longer ones, and a Lease that says more would keep everybody out."""

_LONGEST_UID = 64

Object = dict[str, Any]


class LostLease(KspecError):
    """Nothing may be written: this process does not lead, or may not lead any more."""

    exit_code = 1


class Terms(NamedTuple):
    """Seconds. lease: how long others wait for a leader that is silent; renew: how long a leader goes on without having
    renewed, less than `lease`; retry: between two looks, up to a fifth longer; no request takes longer than that.
    """

    lease_s: float = 9.0
    renew_s: float = 6.0
    retry_s: float = 1.5

    def problem(self) -> str:
        """Why they cannot be used, or ""."""
        if self.lease_s > LONGEST_S:
            return f"the lease duration must be at most {LONGEST_S:g} s, for which other replicas wait"
        if not self.lease_s > self.renew_s:
            return "the lease duration must be longer than the renew deadline"
        if not self.renew_s > 1.2 * self.retry_s:
            return "the renew deadline must be longer than 1.2 times the retry period"
        return "" if self.retry_s > 0 else "the retry period must be longer than 0"

    @property
    def limits(self) -> Limits:
        """For the requests about the Lease: none outlives a retry period."""
        return Limits(
            connect_timeout_s=self.retry_s,
            read_timeout_s=self.retry_s,
            retries=0,
            request_s=self.retry_s,
            list_s=self.retry_s,
            cluster_s=float("inf"),
            request_bytes=MIB,
            cluster_bytes=1 << 62,
        )


TERMS = Terms()


class Elector:
    """One candidate. identity: unlike that of any other process, also of an earlier one of the same name.

    access: with `Terms.limits`, used by this alone
    """

    def __init__(
        self,
        access: Access,
        namespace: str,
        identity: str,
        terms: Terms = TERMS,
        *,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._access = access
        self.namespace = namespace
        self.identity = identity
        self._terms = terms
        self._clock, self._chance = clock, chance
        self._lease: Object | None = None  # as we last wrote it: we lead
        self._renewed = 0.0  # when we began to send what was accepted
        self._seen: tuple[object, float] = (None, 0.0)  # another's Lease, and since when it is unchanged
        self._term_s = terms.lease_s  # how long its holder may be silent
        self._told = float("-inf")  # when the watch last told of it
        self._holder = ""  # whom the log named as the leader
        self._woken = threading.Event()
        self._released = False
        self._lock = threading.Lock()
        self._uid = ""
        self._cluster = {"cluster": access.name}
        self.transitions = 0
        """`leaseTransitions` of the Lease that we hold: larger with each leader."""

    @property
    def retry_s(self) -> float:
        """Between two looks, about."""
        return self._terms.retry_s

    @property
    def leads(self) -> bool:
        """Whether nobody else can lead now."""
        return self._lease is not None and self._clock() - self._renewed < self._terms.renew_s

    @property
    def fencing_token(self) -> tuple[str, int]:
        """UID of the Lease that we hold, or held last, and its `leaseTransitions`."""
        return self._uid, self.transitions

    def check(self) -> None:
        """Raises LostLease unless this process leads."""
        if not self.leads:
            raise LostLease("this process does not hold the Lease (any more).", where=self._where)

    def step(self) -> float:
        """Look once, and take or renew where that is due. In how many seconds to look again (`pause`).

        Raises LostLease once a Lease that was held is lost; nothing else.
        """
        with self._lock:
            try:
                self._access.do(self._look)
            except Conflict as error:
                log.debug("another replica acquired the Lease first: %s", error)
            except SourceError as error:
                if self._lease is not None and self.leads:
                    log.warning("the Lease could not be renewed: %s", error)
                else:
                    log.warning("the Lease could not be read: %s", error)
            if self._lease is not None and not self.leads and not self._released:
                self._record("lost", "failure", f"{self.identity} no longer leads", severity="warning")
                raise LostLease("the Lease was not renewed in time.", where=self._where)
        return self._wait()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until `wake`."""
        self._woken.wait(seconds)
        self._woken.clear()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def saw(self, lease: Object | None) -> None:
        """A watch saw this Lease; None: it was deleted. From any thread. What it says is read before it is acted on."""
        if self._lease is not None:
            return
        holder = ((lease or {}).get("spec") or {}).get(
            "holderIdentity"
        )  # AttributeError for what is no Lease
        self._told = self._clock()
        if lease is None or not holder:
            self.wake()
        elif holder != self.identity:  # our own write is seen here before its answer
            self._observe(lease)

    def release(self) -> None:
        """Give the Lease up, so that another takes it at once. To be called when nothing is being written any more."""
        with self._lock:
            lease, self._released = self._lease, True
            if lease is None or not self.leads:
                return
            self._lease = None
            given = {**lease["spec"], "holderIdentity": "", "renewTime": _now(), "leaseDurationSeconds": 1}
            try:
                self._access.do(
                    lambda writer: writer.replace({**lease, "spec": given}, field_manager=FIELD_MANAGER)
                )
            except SourceError as error:
                log.warning("the Lease could not be released: %s", error)
                said = f"{self.identity} no longer leads; the Lease could not be released: {error}"
                self._record("released", "failure", said, severity="warning")
                return
            log.info("the Lease is released")
            self._record("released", "success", f"{self.identity} no longer leads")

    # -- inside --------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return f"{KIND} {self.namespace}/{NAME}"

    def _record(self, action: str, outcome: Outcome, said: str, **more: Any) -> None:
        emit("leadership", action, outcome, said, resource=self._where, **{**self._cluster, **more})

    def _look(self, writer: Writer) -> None:
        if self._released:
            return
        if self._lease is not None:
            self._renew(writer)
            return
        if not self._cluster.get("cluster_id"):  # who leads has no time for it
            self._cluster = about(writer.source)
        there = writer.find(API_VERSION, KIND, NAME, namespace=self.namespace)
        if there is None:
            self._write(writer, None, 0)
            return
        spec = there.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        others = bool(holder) and holder != self.identity
        if others and self._clock() - self._observe(there) < self._term_s:
            return
        self._write(writer, there, int(spec.get("leaseTransitions") or 0) + (holder != self.identity))

    def _observe(self, there: Object) -> float:
        """Since when this Lease, which another holds, is unchanged."""
        mark = (there["metadata"].get("uid"), there["metadata"].get("resourceVersion"))
        seen = self._seen
        holder = str(there["spec"].get("holderIdentity"))
        if holder != self._holder:
            self._holder = holder
            log.info("waits: another replica leads", extra=fields(leader=holder))
        if seen[0] != mark:
            seen = self._seen = (mark, self._clock())
            self._term_s = self._term(there["spec"])
        return seen[1]

    def _wait(self) -> float:
        """Until its holder may be silent no longer; each retry period before, unless a watch tells of the Lease."""
        retry = self._terms.retry_s * (1 + self._chance() / 5)
        if self._lease is not None:
            return retry
        now = self._clock()
        left = self._seen[1] + self._term_s - now
        silent = self._told + 2 * self._terms.retry_s - now
        longest = max(retry, silent)
        return min(longest, left + self._chance() / 5) if 0 < left < longest else longest

    def _term(self, spec: Object) -> float:
        """How long its holder may be silent: v0.3's has a longer term than ours."""
        said = spec.get("leaseDurationSeconds")
        if not isinstance(said, int) or isinstance(said, bool):
            return self._terms.lease_s
        return max(min(float(said), LONGEST_S), self._terms.lease_s)

    def _renew(self, writer: Writer) -> None:
        assert self._lease is not None
        try:
            self._write(writer, self._lease, self.transitions)
        except Conflict:  # somebody changed it: a person, or another leader
            there = writer.find(API_VERSION, KIND, NAME, namespace=self.namespace)
            if there is not None and (there.get("spec") or {}).get("holderIdentity") == self.identity:
                self._write(writer, there, self.transitions)
                return
            self._lost()
        except NotFound:  # somebody deleted it, and another may have made it anew
            self._lost()

    def _lost(self) -> None:
        self._renewed = float("-inf")

    def _write(self, writer: Writer, there: Object | None, transitions: int) -> None:
        started = self._clock()
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._terms.lease_s)),
            "renewTime": _now(),
            "acquireTime": self._lease["spec"]["acquireTime"] if self._lease is not None else _now(),
            "leaseTransitions": transitions,
        }
        if there is None:
            made = {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "metadata": {"name": NAME, "namespace": self.namespace},
                "spec": spec,
            }
            written = writer.create(made, field_manager=FIELD_MANAGER)
        else:
            written = writer.replace({**there, "spec": spec}, field_manager=FIELD_MANAGER)
        if self._lease is None:
            log.info("%s leads", self.identity, extra=fields(epoch=transitions))
            self._record("acquired", "success", f"{self.identity} leads", details={"epoch": transitions})
        self._uid = str(written["metadata"].get("uid") or "")[:_LONGEST_UID]
        self._lease, self._renewed, self.transitions = written, started, transitions


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
