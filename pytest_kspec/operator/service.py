"""The operator as a process: who leads works, the others wait.

A process leads once at most: whoever loses the Lease ends, and is started anew by what runs it. So nothing that was
begun as a leader goes on under another.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from pytest_kspec.cluster.watch.reflector import Key, Object, Reflector
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import GROUP, VERSION
from pytest_kspec.errors import KspecError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.operator.lease import Elector, LostLease
from pytest_kspec.operator.probes import Page, Probes
from pytest_kspec.operator.queue import Queue
from pytest_kspec.operator.reconcile import Reconciler, Seen, Settings
from pytest_kspec.operator.scans import Scanner
from pytest_kspec.plan.checkset import CheckSet, load_checks
from pytest_kspec.spec.document import SPEC_KIND

log = logging.getLogger("kspec.operator")

SPECIFICATIONS = ResourceType(GROUP, VERSION, SPEC_KIND, "clusterspecifications", False)
ENDING_S = 5.0
"""How long work that is under way may go on once the process is told to end."""

LOST_S = 1.0
"""The same where the Lease was lost: nothing can be written any more."""

STUCK_S = 60.0
"""A leader that has not looked at its Lease for this long is not healthy."""


class Counting(Seen, Protocol):
    """What `metrics.Metrics` has beside `Seen`."""

    def reconciled(self, name: str, error: str = "") -> None:
        """One reconciliation."""
        ...

    def page(self) -> Page:
        """What is served."""
        ...


class Options(NamedTuple):
    """What an operator is started with.

    access:  the cluster; refuses writes unless this process leads
    elector: None: this process is the only one
    workers: specifications that are looked at, and scanned, at once
    health:  address of /healthz and /readyz; metrics: of /metrics; "0": none
    """

    access: Access
    elector: Elector | None
    scanner: Scanner
    settings: Settings
    workers: int = 2
    health: str = ":8081"
    metrics: str = ":8080"


class Operator:
    """One process. `run` blocks until `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._elector = options.elector
        self.queue = Queue()
        self._stopping = threading.Event()
        self._failure: LostLease | None = None
        self._looked = time.monotonic()
        self._works = False
        self._checkset: CheckSet | None = None
        self._checkset_lock = threading.Lock()
        self.reflector = Reflector(options.access.open, SPECIFICATIONS, self._changed)
        self._counting: Counting | None = None
        if options.metrics != "0":
            from pytest_kspec.operator.metrics import Metrics

            self._counting = Metrics(lambda: self.leads, lambda: len(self.queue), self._transitions)
        self._reconciler = Reconciler(
            options.access,
            options.scanner,
            self._checks,
            lambda: {name: item for (_, name), item in self.reflector.objects.items()},
            options.settings,
            self._counting,
        )

    @property
    def leads(self) -> bool:
        """Whether this process does the work."""
        return self._works and (self._elector is None or self._elector.leads)

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()

    def run(self) -> None:
        """Serve probes, wait for the Lease, work, until `stop`. Raises LostLease, UsageError."""
        with contextlib.ExitStack() as stack:
            for server in self._servers():
                stack.callback(server.close)
            elections = threading.Thread(target=self._elect, daemon=True)
            elections.start()
            while not self._stopping.is_set() and not self._may_work():
                self._stopping.wait(0.1)
            threads = [] if self._stopping.is_set() else self._start()
            self._stopping.wait()
            self._end(threads)
            elections.join(LOST_S)
        if self._failure is not None:
            raise self._failure

    # -- inside --------------------------------------------------------------------------------------------

    def _servers(self) -> Iterator[Probes]:
        options = self._options
        if options.health != "0":
            pages = {"/healthz": self._healthz, "/readyz": self._readyz}
            yield Probes(options.health, pages, "--health-probe-bind-address")
        if self._counting is not None:
            yield Probes(options.metrics, {"/metrics": self._counting.page}, "--metrics-bind-address")

    def _may_work(self) -> bool:
        return self._elector is None or self._elector.leads

    def _start(self) -> list[threading.Thread]:
        self._works = True
        targets: list[Callable[[], None]] = [self.reflector.run, *[self._work] * self._options.workers]
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
        """Nothing is begun any more, scans are killed, and the Lease is given up once nobody writes."""
        self.queue.close()
        self.reflector.stop()
        self._options.scanner.stop()
        deadline = time.monotonic() + (ENDING_S if self._failure is None else LOST_S)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            log.warning("work is still under way: the Lease is not released")
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
            self._stopping.wait(wait)

    def _changed(self, key: Key, before: Object | None, now: Object | None) -> None:
        """Only what users wrote is a reason to look: what is written to a status changes no generation."""
        if _mark(before) != _mark(now):
            self.queue.add(key[1])

    def _work(self) -> None:
        while (name := self.queue.take()) is not None:
            error = ""
            try:
                again = self._reconciler.reconcile(name)
            except LostLease:
                raise
            except KspecError as failure:
                error = type(failure).__name__
                wait = self.queue.failed(name)
                if not self._stopping.is_set():
                    log.warning("%s: %s (again in %.0f s)", name, failure, wait)
            except Exception as failure:  # a fault of ours: the others go on
                error = type(failure).__name__
                log.exception("%s: unforeseen; again in %.0f s", name, self.queue.failed(name))
                self._reconciler.failed(name, failure)
            else:
                if again is None:
                    self.queue.forget(name)
                else:
                    self.queue.done(name, again)
            if self._counting is not None:
                self._counting.reconciled(name, error)

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
        if self._elector is not None and silent > STUCK_S:
            return Page(500, f"the Lease was not read for {silent:.0f} s\n".encode())
        return Page(200, b"ok\n")

    def _readyz(self) -> Page:
        """Ready: it waits to lead, or leads and knows the specifications."""
        if self.leads and self.reflector.problem:
            return Page(500, f"{self.reflector.problem}\n".encode())
        return Page(200, b"leads\n" if self.leads else b"waits\n")


def _mark(obj: Object | None) -> Any:
    """What has to differ for a look: another object, another specification, or its deletion."""
    if obj is None:
        return None
    metadata = obj["metadata"]
    return metadata.get("uid"), metadata.get("generation"), bool(metadata.get("deletionTimestamp"))
