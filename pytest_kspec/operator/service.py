"""The operator as a process: who leads works, the others wait.

A process leads once at most: whoever loses the Lease ends, and is started anew by what runs it. So nothing that was
begun as a leader goes on under another.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_kspec.audit.loglines import fields
from pytest_kspec.cluster.watch.reflector import Key, Object, Reflector
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import KspecError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.observe import requests, tracing
from pytest_kspec.operator.controller import Controller, Given, mark
from pytest_kspec.operator.lease import Elector, LostLease
from pytest_kspec.operator.leasewatch import LeaseWatch
from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.probes import Page, Probes
from pytest_kspec.operator.queue import Queue
from pytest_kspec.operator.scans import Scanner, Stopped
from pytest_kspec.plan.checkset import CheckSet, load_checks

if TYPE_CHECKING:
    from pytest_kspec.operator.guarded import Guard

log = logging.getLogger("kspec.operator")

ENDING_S = 5.0
"""How long work that is under way may go on once the process is told to end."""

ANSWER_S = 15.0
"""How long writes that were sent may then take to be answered: no request takes longer."""

LOST_S = 1.0
"""The same where the Lease was lost: nothing can be written any more."""

READS_A_SECOND = 10.0
"""Of metrics, by one client; a burst may be twice as many."""

STUCK_S = 60.0
"""A replica that has not looked at its Lease for this long, and for three retry periods, is not healthy."""


class Item(NamedTuple):
    """What the queue holds: a key of a kind."""

    resource: ResourceType
    key: Key

    def __str__(self) -> str:
        return f"{self.resource.kind} {'/'.join(part for part in self.key if part)}"


class Server(Protocol):
    """Listens since it was made."""

    port: int

    def close(self) -> None:
        """Stop."""
        ...


class Options(NamedTuple):
    """What an operator is started with.

    access:  the cluster; refuses writes unless this process leads
    elector: None: this process is the only one
    kinds:   makers of the controllers, one for each kind (`kinds.controllers`)
    first:   what is done once this process leads, before anything else; raises nothing of a cluster
    health:  address of /healthz and /readyz; metrics: of /metrics; "0": none
    guard:   makes who decides on readers of /metrics; None: everybody may. Raises UsageError
    beside:  starts other servers, which every replica has. Raises UsageError where they cannot listen
    """

    access: Access
    elector: Elector | None
    scanner: Scanner
    kinds: Sequence[Callable[[Given], Controller]]
    first: Sequence[Callable[[Writer], None]] = ()
    health: str = ":8081"
    metrics: str = ":8080"
    beside: Sequence[Callable[[], Server]] = ()
    guard: Callable[[], Guard] | None = None


class Operator:
    """One process. `run` blocks until `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._elector = options.elector
        self.queue: Queue[Item] = Queue()
        self._stopping = threading.Event()
        self._failure: LostLease | None = None
        self._looked = time.monotonic()
        self._works = False
        self._failing: set[Item] = set()  # what the log says could not be reconciled
        self._checkset: CheckSet | None = None
        self._checkset_lock = threading.Lock()
        self.ports: list[int] = []
        """Of probes and metrics, once they are served."""
        state = State(
            lambda: self.leads, lambda: len(self.queue), lambda: self.queue.oldest_s, self._transitions
        )
        self._metrics = Metrics(state)
        seen = self._objects, self._look, self._metrics, self._follows
        given = Given(options.access, options.scanner, self._checks, *seen)
        self._controllers = [make(given) for make in options.kinds]
        self._reflectors = {one.resource: self._reflector(one.resource) for one in self._controllers}

    @property
    def leads(self) -> bool:
        """Whether this process does the work."""
        return self._works and (self._elector is None or self._elector.leads)

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()
        if self._elector is not None:
            self._elector.wake()

    def run(self) -> None:
        """Serve probes, wait for the Lease, work, until `stop`. Raises LostLease, UsageError."""
        requests.seen = self._metrics.requested
        with contextlib.ExitStack() as stack:
            for server in self._servers():
                stack.callback(server.close)
                self.ports.append(server.port)
            elections = threading.Thread(target=self._elect, daemon=True)
            elections.start()
            if self._elector is not None:
                watch = LeaseWatch(self._options.access.open, self._elector, self._watches_no_more)
                stack.callback(watch.stop)
                threading.Thread(target=watch.run, daemon=True).start()
            while not self._stopping.is_set() and not self._may_work():
                self._stopping.wait(0.1)
            threads = [] if self._stopping.is_set() else self._start()
            self._stopping.wait()
            self._end(threads)
            elections.join(LOST_S)
        if self._failure is not None:
            raise self._failure

    # -- inside --------------------------------------------------------------------------------------------

    def _servers(self) -> Iterator[Server]:
        options = self._options
        if options.health != "0":
            pages = {"/healthz": self._healthz, "/readyz": self._readyz}
            yield Probes(options.health, pages, "--health-probe-bind-address")
        if options.metrics != "0":
            pages = {"/metrics": self._metrics.page}
            guard = options.guard() if options.guard is not None else None
            yield Probes(options.metrics, pages, "--metrics-bind-address", READS_A_SECOND, guard)
        for start in options.beside:
            yield start()

    def _may_work(self) -> bool:
        return self._elector is None or self._elector.leads

    def _watches_no_more(self) -> bool:
        return self._stopping.is_set() or self._may_work()

    def _start(self) -> list[threading.Thread]:
        self._works = True
        for action in self._options.first:
            self._options.access.do(action)
        targets: list[Callable[[], None]] = [reflector.run for reflector in self._reflectors.values()]
        for one in self._controllers:
            targets += [partial(self._work, one)] * one.workers
        threads = [threading.Thread(target=self._guarded, args=(target,), daemon=True) for target in targets]
        for thread in threads:
            thread.start()
        return threads

    def _guarded(self, target: Callable[[], None]) -> None:
        """A thread that ends is a fault: the process ends with it, and is started anew."""
        try:
            target()
        except LostLease as error:
            self._failure = error
        except Exception:
            log.exception("a thread of the operator ended")
            self._failure = LostLease("a thread of the operator ended: see the log.")
            raise
        finally:
            if not self._stopping.is_set():
                self._stopping.set()

    def _end(self, threads: list[threading.Thread]) -> None:
        """Nothing is begun any more, scans are killed, and the Lease is given up once nobody writes.

        Work that does not end in time sends no write any more: what was sent has an answer before the Lease is given
        up, whoever sent it.
        """
        self._options.scanner.refuse()
        log.info("ends: scans are killed, and writes in progress are completed")
        self.queue.close()
        for reflector in self._reflectors.values():
            reflector.stop()
        self._options.scanner.stop()
        deadline = time.monotonic() + (ENDING_S if self._failure is None else LOST_S)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        patience_s = ANSWER_S if self._failure is None else LOST_S
        if not self._options.access.close(Stopped("the operator ends."), patience_s):
            log.warning("a write has no answer yet: the Lease is not released")
        elif self._elector is not None and self._failure is None:
            self._elector.release()
        self._works = False

    def _elect(self) -> None:
        while self._elector is not None and not self._stopping.is_set():
            try:
                wait = self._elector.step()
            except LostLease as error:
                log.error("%s", error)
                self._failure = error
                self._stopping.set()
                return
            self._looked = time.monotonic()
            self._elector.pause(wait)

    def _reflector(self, resource: ResourceType) -> Reflector:
        def changed(key: Key, before: Object | None, now: Object | None) -> None:
            """Only what users wrote is a reason to look: what is written to a status changes no generation."""
            if mark(before) != mark(now):
                self._look(resource, key)
            for one in self._controllers:
                if (concerned := one.others.get(resource)) is not None:
                    for other in concerned(before, now):
                        self._look(one.resource, other)

        return Reflector(self._options.access.open, resource, changed)

    def _look(self, resource: ResourceType, key: Key) -> None:
        self.queue.add(Item(resource, key))

    def _objects(self, resource: ResourceType) -> Mapping[Key, Object]:
        found = self._reflectors.get(resource)
        return found.objects if found is not None else {}

    def _follows(self, resource: ResourceType) -> bool:
        found = self._reflectors.get(resource)
        return found is not None and found.listed and not found.problem

    def _work(self, controller: Controller) -> None:
        while (item := self.queue.take(lambda one: one.resource == controller.resource)) is not None:
            error, started = "", time.monotonic()
            again: float | None = 0.0
            try:
                attributes = {"kspec.controller": controller.label, "kspec.object": item.key[1]}
                with tracing.span(f"reconcile {controller.label}", attributes):
                    again = controller.reconcile(item.key)
            except LostLease:
                raise
            except KspecError as failure:
                error = type(failure).__name__
                wait = self.queue.failed(item)
                if not self._stopping.is_set():
                    self._failing.add(item)
                    log.warning("%s: %s", item, failure, extra=fields(again_s=round(wait)))
            except Exception as failure:  # a fault of ours: the others go on
                error = type(failure).__name__
                log.exception("%s: unexpected error; again in %.0f s", item, self.queue.failed(item))
                controller.failed(item.key, failure)
            else:
                if item in self._failing:
                    self._failing.discard(item)
                    log.info("%s: reconciled again", item)
                if again is None:
                    self.queue.forget(item)
                else:
                    self.queue.done(item, again)
            seconds = time.monotonic() - started
            if again is None:
                self._metrics.done(controller.label, item.key[1])
            else:
                self._metrics.reconciled(controller.label, item.key[1], seconds, error)

    def _checks(self) -> CheckSet:
        with self._checkset_lock:
            if self._checkset is None:
                self._checkset = load_checks([])
            return self._checkset

    def _transitions(self) -> int:
        return self._elector.transitions if self._elector is not None else 0

    def _healthz(self) -> Page:
        """Alive: the thread that keeps the Lease moves."""
        silent = time.monotonic() - self._looked
        if self._elector is not None and silent > max(STUCK_S, 3 * self._elector.retry_s):
            return Page(500, f"the Lease was not read for {silent:.0f} s\n".encode())
        return Page(200, b"ok\n")

    def _readyz(self) -> Page:
        """Ready: it waits to lead, or leads and knows the objects of all kinds that the cluster serves."""
        if not self.leads:
            return Page(200, b"waits\n")
        reflectors = self._reflectors.values()
        problems = [one.problem for one in reflectors if one.problem]
        is_ready = all(not one.problem or one.absent for one in reflectors)
        said = "\n".join(["leads", *problems])
        return Page(200 if is_ready else 500, f"{said}\n".encode())
