"""AlertConfigs: each has its own alerts, receivers and memory; several hold side by side.

What is active is written into the status before it is sent, and what a notifier was told once it was: a leader that
ends between the two leads to one repetition under the same key. Each notifier has one message under way, in a thread of
its own, so that a slow one delays neither the others nor any reconciliation.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any

from pydantic import ValidationError

from pytest_kspec import clock
from pytest_kspec.alerts.configfile import KIND
from pytest_kspec.alerts.deliver import Delivered, attempt
from pytest_kspec.alerts.guard import Guard, guard_of_environment
from pytest_kspec.alerts.kept import Kept, keep, read
from pytest_kspec.alerts.ledger import Ledger, Notification, stamp
from pytest_kspec.alerts.routing import Plan, make_plan
from pytest_kspec.alerts.secrets import Referenced
from pytest_kspec.cluster.watch.reflector import Key
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.models.alertconfig import AlertConfigSpec
from pytest_kspec.crds.names import GROUP, NAMESPACE, VERSION
from pytest_kspec.errors import Conflict, KspecError, SpecError, StoreError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator import status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import Concerned, Given, Right, kspec_kind
from pytest_kspec.operator.metrics import Metrics
from pytest_kspec.operator.status import Said
from pytest_kspec.operator.webhooks import Webhooks
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.secretstores.stores import Secrets
from pytest_kspec.spec.problems import field_problems

log = logging.getLogger("kspec.operator")

ALERTCONFIGS = kspec_kind(KIND, "alertconfigs", namespaced=True)
API = f"{GROUP}/{VERSION}"
CONFIGURED = "Configured"
DEADLINE_S = 120.0
"""For one message with its retries."""

AGAIN_S = 60.0
"""After a message that was not delivered, unless the receiver names a later time."""

SOON_S, IDLE_S = 5.0, 30.0
_WRITES = 3
_LONGEST_ERROR = 500

Object = dict[str, Any]


@dataclass
class Memory:
    """What is known of one AlertConfig between two looks. uid: another object of the name is another one."""

    uid: str
    ledger: Ledger
    seen: int = 0
    busy: set[str] = field(default_factory=set)
    later: dict[str, float] = field(default_factory=dict)
    done: queue.SimpleQueue[Delivered] = field(default_factory=queue.SimpleQueue)
    status: dict[str, Object] = field(default_factory=dict)
    _kept: tuple[list[object], Kept] | None = None

    def keep(self) -> Kept:
        """The ledger as text. It takes a second of 10,000 alerts, so what did not change is not written again."""
        now: list[object] = [*self.ledger.facts.values(), *self.ledger.told.values()]
        if self._kept is not None:
            before, kept = self._kept
            # Facts and what was told are exchanged, never changed.
            if len(before) == len(now) and all(one is other for one, other in zip(before, now, strict=True)):
                return kept
        kept = keep(self.ledger)
        self._kept = now, kept
        return kept


class Alerting:
    """The controller of AlertConfig."""

    resource = ALERTCONFIGS
    label = "alertconfig"
    workers = 2
    others: Mapping[ResourceType, Concerned] = {}
    rights = (
        Right(GROUP, "alertconfigs", ("get", "list", "watch")),
        Right(GROUP, "alertconfigs/status", ("update",)),
        Right("", "secrets", ("get",), NAMESPACE),
        Right("", "configmaps", ("get",), NAMESPACE),  # what replicas of the webhook say
    )

    def __init__(
        self,
        access: Access,
        board: Board,
        look: Callable[[Key], None],
        keys: Callable[[], list[Key]],
        metrics: Metrics | None = None,
        webhooks: str = NAMESPACE,
    ) -> None:
        """webhooks: the namespace of the webhook."""
        self._access, self._board, self._look, self._metrics = access, board, look, metrics
        self._memories: dict[Key, Memory] = {}
        self._lock = threading.Lock()
        self._guard: Guard = guard_of_environment(loopback=False)
        self._stores = Secrets(access)
        self._webhooks = Webhooks(access, board, webhooks)

        def changed() -> None:
            for key in keys():
                look(key)

        board.watchers.append(changed)

    def reconcile(self, key: Key) -> float | None:
        """Take what was found and what became of messages; write it down; send what is due."""
        namespace, name = key
        found = self._access.do(lambda writer: writer.find(API, KIND, name, namespace=namespace))
        if found is None:
            with self._lock:
                self._memories.pop(key, None)
            if self._metrics is not None:
                self._metrics.registry.forget(alertconfig=name)
            return None
        self._webhooks.look()
        try:
            plan = make_plan(
                f"{namespace}/{name}",
                AlertConfigSpec.model_validate(found.get("spec") or {}),
                f"{namespace}/{name}",
            )
        except (SpecError, ValueError) as error:
            text = (
                "; ".join(field_problems(error, "spec")) if isinstance(error, ValidationError) else str(error)
            )
            self._write(found, Said(CONFIGURED, "False", "ConfigurationErrors", text), {})
            return IDLE_S
        memory = self._memory(key, found)
        self._take(name, memory)
        if not plan.spec.enabled:
            self._write(
                found, Said(CONFIGURED, "False", "Disabled", "enabled is false."), self._fields(memory, found)
            )
            return IDLE_S
        said = Said(CONFIGURED, "True", "Configured", f"{plural(len(plan.receivers), 'notifier')}.")
        now = clock.now()
        due = [
            made
            for made in memory.ledger.due(plan, now)
            if made.receiver not in memory.busy and time.monotonic() >= memory.later.get(made.receiver, 0.0)
        ]
        memory.ledger.forget(now)
        self._write(found, said, self._fields(memory, found))
        started: set[str] = set()
        for made in due:
            if made.receiver not in started:
                started.add(made.receiver)
                self._start(key, plan, made, memory)
        waits = any(not told for told in self._told(memory, plan))
        return SOON_S if memory.busy or waits or len(due) > len(started) else IDLE_S

    def failed(self, key: Key, fault: Exception) -> None:
        """Say so in the log: what stands in the status still holds."""
        log.error("AlertConfig %s: %s", "/".join(key), type(fault).__name__)

    # -- inside --------------------------------------------------------------------------------------------

    def _memory(self, key: Key, found: Object) -> Memory:
        uid = str(found["metadata"].get("uid"))
        with self._lock:
            known = self._memories.get(key)
            if known is None or known.uid != uid:
                before = found.get("status") or {}
                where = f"AlertConfig {'/'.join(key)}"
                try:
                    ledger = read(str(before.get("state") or ""), where)
                except StoreError as error:
                    log.warning("%s Alerts that are active are sent again.", error)
                    ledger = Ledger()
                kept = before.get("notifierStatus")
                known = self._memories[key] = Memory(
                    uid, ledger, status=dict(kept) if isinstance(kept, dict) else {}
                )
            return known

    def _take(self, config: str, memory: Memory) -> None:
        for posted in self._board.since(memory.seen):
            memory.seen = posted.number
            if posted.seen is None:
                memory.ledger.end("", posted.spec, stamp(clock.now()), "the specification was deleted")
            else:
                memory.ledger.take(posted.seen)
        while not memory.done.empty():
            one = memory.done.get_nowait()
            name, count = one.made.receiver, len(one.made.facts)
            memory.busy.discard(name)
            if self._metrics is not None:
                self._metrics.notified(config, name, count, failed=bool(one.problem))
            entry = dict(memory.status.get(name) or {"alertsSent": 0, "alertsFailed": 0})
            if one.problem:
                memory.later[name] = time.monotonic() + max(AGAIN_S, one.again_s or 0.0)
                entry |= {"alertsFailed": int(entry.get("alertsFailed", 0)) + count}
                entry["lastError"] = one.problem[:_LONGEST_ERROR]
            else:
                memory.later.pop(name, None)
                memory.ledger.sent(one.made)
                entry |= {"alertsSent": int(entry.get("alertsSent", 0)) + count, "lastAlertTime": one.made.at}
                entry.pop("lastError", None)
            memory.status[name] = entry

    def _start(self, key: Key, plan: Plan, made: Notification, memory: Memory) -> None:
        memory.busy.add(made.receiver)
        route = next(one for one in plan.receivers if one.name == made.receiver)
        secrets = Referenced(self._stores, key[0])

        def run() -> None:
            try:
                self._access.check()  # only a leader sends
                result = attempt(made, plan, secrets, self._guard, route, time.monotonic() + DEADLINE_S)
            except KspecError as error:
                result = Delivered(made, str(error))
            except Exception as error:  # noqa: BLE001 - a thread that ends in silence would keep its notifier busy
                result = Delivered(made, f"an internal error of kspec ({type(error).__name__}).")
            memory.done.put(result)
            self._look(key)

        threading.Thread(target=run, daemon=True, name=f"kspec-alert-{made.receiver}").start()

    @staticmethod
    def _told(memory: Memory, plan: Plan) -> list[bool]:
        known: dict[str, set[tuple[str, str]]] = {}
        for (name, _), told in memory.ledger.told.items():
            known.setdefault(name, set()).update(told.alerts.items())
        return [
            (fact.alert.id, fact.token) in known.get(route.name, ())
            for route in plan.receivers
            for fact in memory.ledger.facts.values()
            if not fact.resolved_at and route.wants(fact)
        ]

    def _fields(self, memory: Memory, found: Object) -> Object:
        kept = memory.keep()
        times = [str(one["lastAlertTime"]) for one in memory.status.values() if one.get("lastAlertTime")]
        return {
            "state": kept.text,
            "active": sum(not fact.resolved_at for fact in memory.ledger.facts.values()),
            "notKept": kept.left,
            "notifierStatus": memory.status or None,
            "alertsSent": sum(int(one.get("alertsSent", 0)) for one in memory.status.values()),
            "alertsFailed": sum(int(one.get("alertsFailed", 0)) for one in memory.status.values()),
            "lastAlertTime": max(times, default=None),
        }

    def _write(self, found: Object, said: Said, fields: Object) -> None:
        """Bring the status to this, if it is not so. Raises SourceError."""
        name, namespace = found["metadata"]["name"], found["metadata"]["namespace"]
        generation = int(
            found["metadata"].get("generation") or 0
        )  # what was looked at, whatever is there now
        for tries in range(_WRITES):
            before = found.get("status")
            before = before if isinstance(before, dict) else {}
            after = status.merged(before, generation, clock.now(), [said], fields)
            if after == before:
                return
            try:
                sent = {**found, "status": after}
                self._access.do(
                    methodcaller("replace", sent, field_manager="kspec-operator", subresource="status")
                )
            except Conflict:
                if tries + 1 == _WRITES:
                    raise
                found = self._access.do(lambda writer: writer.get(API, KIND, name, namespace=namespace))
            else:
                return


def controller(given: Given, board: Board, webhooks: str = NAMESPACE) -> Alerting:
    """The controller of one process. webhooks: the namespace of the webhook."""

    def look(key: Key) -> None:
        given.look(ALERTCONFIGS, key)

    def keys() -> list[Key]:
        return list(given.objects(ALERTCONFIGS))

    return Alerting(given.access, board, look, keys, given.metrics, webhooks)
