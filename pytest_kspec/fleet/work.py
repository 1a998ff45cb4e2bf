"""`kspec fleet work`: one shard of a run, cluster by cluster, each committed by itself.

The worker imports everything once and divides itself for each cluster, so that a cluster costs no start, and what it
takes of memory is given back. A few clusters are connected to ahead of time: one that does not answer holds up none.
Its exit code is about execution: what was found is the run's, and a findings code here would have a Job try it again.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.errors import EXIT_USAGE, KspecError, StoreError, UsageError
from pytest_kspec.fleet import child
from pytest_kspec.fleet.apart import apart
from pytest_kspec.fleet.bundle import unpack
from pytest_kspec.fleet.child import Said, Scan, Task
from pytest_kspec.fleet.effort import Effort
from pytest_kspec.fleet.runs import Order, verify
from pytest_kspec.reports import json as report
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage import fleetattempts, fleetclaims, fleetrun
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleetrun import StoredRun, StoredTarget
from pytest_kspec.storage.opening import open_any
from pytest_kspec.supervised import ending

EXIT_DONE = 0
EXIT_NOT_STORED = 3
"""Some clusters have no outcome: the shard is to be tried again."""

CLUSTER_S = 900.0
"""How long the scan of one cluster may take."""
ATTEMPTS = 2
"""How many workers a cluster may end before it is an error; one more is started, and writes that down."""
MOST_ATTEMPTS = 6
"""The same in all, however often somebody goes on with the run."""
STOP_S = 45.0
"""How long a worker that is told to end waits for what it scans: less than Kubernetes' grace period of our pods."""
_AHEAD = 16
_READY = 4
_IDLE = 8
"""Clusters that stopped answering while they are scanned, in the place of which others are scanned meanwhile."""
_TICK_S = 0.5
_LARGEST_LINE = 1 << 16
T = TypeVar("T")


@dataclass
class _Child:
    """A process for one cluster. deadline: time.monotonic(); told: what it said last."""

    target: StoredTarget
    gone: Said | None
    pid: int
    out: BinaryIO
    go: BinaryIO
    began: float
    deadline: float
    scanning: bool = False
    told: Said | None = None
    killed: str = ""
    buffer: bytearray = field(default_factory=bytearray)


class Worker:
    """One shard of a run.

    parallel: clusters that are scanned at once, each with memory of its own; say: a line for people
    """

    def __init__(
        self,
        store: str,
        run: str,
        index: int,
        scan: Scan,
        *,
        parallel: int = 1,
        cluster_s: float = CLUSTER_S,
        patience_s: float = child.STORE_S,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._url, self._run, self._index, self._scan = store, run, index, scan
        self._parallel, self._cluster_s, self._say = parallel, cluster_s, say
        self._patience_s = patience_s
        self._waiting: deque[StoredTarget] = deque()
        self._ready: deque[_Child] = deque()
        self._children: dict[int, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._again: set[int] = set()
        self._aside: set[int] = set()
        self._effort = Effort()
        self._attempts: dict[int, int] = {}
        self._gone: deque[tuple[StoredTarget, Said]] = deque()
        self._wrong: list[str] = []
        self._unstored: list[str] = []
        self._stopping_until: float | None = None
        self._order: Order
        self._day = ""
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def run(self) -> int:
        """Every cluster of the shard that has no outcome; the exit code. Raises UsageError, StoreError."""
        if not hasattr(os, "fork"):
            raise UsageError(
                "this system cannot fork a process.", where="kspec fleet work", fix="Use Linux or macOS."
            )
        with closing(self._open()) as store:
            found: StoredRun = self._patiently(store, partial(stored.order_of, store, self._run))
            self._run = found.id
            self._day = found.created_at[:10]
            self._order = Order.from_wire(found.document)
            mine = self._targets(store, self._index)
            if not mine and not 0 <= self._index < found.shards:
                last = found.shards - 1
                raise UsageError(f"the run has the shards 0 to {last}.", where=f"--index {self._index}")
            missing = [t for t in mine if not t.done]
            if not missing:
                return self._code(store)
            self._unpack()
            verify(self._order)
            self._warm()
            with self._told_to_end():
                try:
                    while missing:
                        # What ended a worker comes last: it must not keep others from their outcome.
                        self._waiting.extend(sorted(missing, key=lambda one: (one.ended, one.position)))
                        begun = {target.position for target in missing}
                        while self._waiting or self._gone or self._children:
                            self._step(store)
                        missing = self._second_names(store, begun)
                finally:
                    self._kill_all()
                    if self._folder is not None:
                        self._folder.cleanup()
            return self._code(store)

    # -- inside --------------------------------------------------------------------------------------------

    def _second_names(self, store: Store, begun: set[int]) -> list[StoredTarget]:
        """Names of clusters that were scanned under another one when they were come to; now it is known how that went.

        begun: what was worked on until now
        """
        if self._is_ending:
            return []
        mine = self._targets(store, self._index)
        found = [t for t in mine if not t.done and (t.position in self._aside or t.position not in begun)]
        self._aside.clear()
        return found

    @property
    def _is_ending(self) -> bool:
        return self._stopping_until is not None or bool(self._wrong or self._unstored)

    def _open(self) -> Store:
        return child.patiently(lambda: open_any(self._url, report.parse), self._patience_s)

    def _targets(self, store: Store, shard: int | None) -> tuple[StoredTarget, ...]:
        return self._patiently(store, partial(stored.targets_of, store, self._run, shard))

    def _patiently(self, store: Store, work: Callable[[], T]) -> T:
        return child.patiently(partial(_do, store, work), self._patience_s)

    def _code(self, store: Store) -> int:
        if self._wrong:
            for line in dict.fromkeys(self._wrong):
                self._say(line)
            return EXIT_USAGE
        for line in dict.fromkeys(self._unstored):
            self._say(line)
        left = [t for t in self._targets(store, self._index) if not t.done]
        if left:
            names = ", ".join(target.name for target in left[:10])
            which = (
                "1 cluster of this shard has"
                if len(left) == 1
                else f"{len(left)} clusters of this shard have"
            )
            self._say(f"{which} no outcome: {names}")
            return EXIT_NOT_STORED
        if all(target.done for target in self._targets(store, None)):  # the last of all workers
            self._patiently(store, partial(stored.end, store, self._run))
        return EXIT_DONE

    def _unpack(self) -> None:
        """Files that the run carries, in a folder of this worker, which it works in: paths in reports are short."""
        if self._order.files:
            self._folder = tempfile.TemporaryDirectory(prefix="kspec-run-")
            unpack(self._order, Path(self._folder.name))
            os.chdir(self._folder.name)

    def _warm(self) -> None:
        """Import what children need, by a scan of nothing: of theirs, none has to. No code of users runs here."""
        from dataclasses import replace

        import pytest_kspec.cluster.sources.live
        import pytest_kspec.reports.json  # noqa: F401

        nothing = replace(
            self._order, specs=("template:security-baseline",), checks=(), exemptions=(), baseline=""
        )
        with contextlib.suppress(KspecError):
            self._scan("nothing", MemorySource([], name="nothing"), nothing, rehearsal=True)
        gc.collect()
        gc.freeze()  # pages that the collector does not touch stay shared

    @contextlib.contextmanager
    def _told_to_end(self) -> Iterator[None]:
        def stop(_number: int, _frame: Any) -> None:
            if self._stopping_until is None:
                self._stopping_until = time.monotonic() + STOP_S

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _step(self, store: Store) -> None:
        if self._is_ending:
            self._stop()
        self._start(store)
        self._let_go(store)
        soonest = min((one.deadline for one in self._children.values()), default=0.0)
        wait = min(_TICK_S, max(0.0, soonest - time.monotonic()))
        for key, _ in self._selector.select(wait):
            self._hear(store, key.data)
        now = time.monotonic()
        for one in list(self._children.values()):
            if now >= one.deadline:
                what = "did not finish" if one.scanning else "did not answer"
                limit = self._cluster_s if one.scanning else child.REACH_S
                one.killed = one.killed or f"it {what} within {limit:g} s."
                self._end(store, one)

    def _stop(self) -> None:
        """Take no more clusters. Those that are scanned come to their end in time, or are returned to the run."""
        self._waiting.clear()
        self._ready.clear()
        until = self._stopping_until or time.monotonic() + STOP_S
        self._stopping_until = until
        for one in self._children.values():
            if not one.scanning:
                one.deadline, one.killed = 0.0, _LEFT
            elif one.deadline > until:
                one.deadline, one.killed = until, _LEFT

    def _start(self, store: Store) -> None:
        while self._gone:
            target, why = self._gone.popleft()
            self._divide(target, why)
        connecting = sum(not one.scanning for one in self._children.values())
        while self._waiting and connecting < _AHEAD and len(self._ready) < _READY:
            target = self._waiting.popleft()
            connecting += 1
            if target.ended_now >= ATTEMPTS or target.ended >= MOST_ATTEMPTS:
                text = f"the worker ended unexpectedly {target.ended} times while it scanned this cluster."
                self._divide(target, Said("gone", text, Outcome.FAILED.value))
                continue
            self._divide(target)

    def _divide(self, target: StoredTarget, gone: Said | None = None) -> None:
        ours, theirs = os.pipe()
        waits, tells = os.pipe()
        sys.stderr.flush()
        worker = os.getpid()
        pid = os.fork()
        if not pid:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                others = [fd for one in self._children.values() for fd in (one.out.fileno(), one.go.fileno())]
                child.alone([ours, tells, *others], worker)
                self._selector.close()
                task = Task(self._url, self._run, self._order, target, gone, self._patience_s, self._day)
                with os.fdopen(theirs, "wb") as out, os.fdopen(waits, "rb") as go:
                    child.work(task, self._scan, out, go)
            finally:
                os._exit(0)  # never on as a second worker
        os.close(theirs)
        os.close(waits)
        now = time.monotonic()
        one = _Child(
            target, gone, pid, os.fdopen(ours, "rb", 0), os.fdopen(tells, "wb", 0), now, now + child.REACH_S
        )
        self._children[pid] = one
        self._selector.register(one.out, selectors.EVENT_READ, one)

    def _let_go(self, store: Store) -> None:
        if not self._ready:
            return
        # Errors that are being written have a place, too: what the next one does to this worker must not lose them.
        busy = [one for one in self._children.values() if one.scanning or one.gone is not None]
        idle = self._effort.idle(one.pid for one in busy)
        taken = len(self._gone) + len(busy) - min(len(idle), _IDLE)
        if any(one.target.ended and one.pid not in idle for one in busy):
            return
        while taken < self._parallel and (one := self._next(taken)) is not None:
            self._ready.remove(one)
            taken = self._parallel if one.target.ended else taken + 1
            # Counted before code of users runs: what ends this worker is known to the next one.
            self._go(one, self._count(store, one.target))

    def _next(self, taken: int) -> _Child | None:
        """What may have ended a worker is scanned alone, when all others are done: what it does concerns itself."""
        for one in self._ready:
            if not one.target.ended:
                return one
        coming = (one.target for one in self._children.values() if not one.scanning)
        if taken or not self._ready or any(not target.ended for target in coming):
            return None
        return self._ready[0]

    def _go(self, one: _Child, attempt: int = 0) -> None:
        one.scanning, one.deadline = True, time.monotonic() + self._cluster_s
        with contextlib.suppress(BrokenPipeError):
            one.go.write(b"%d\n" % attempt)

    def _count(self, store: Store, target: StoredTarget) -> int:
        """Which attempt this is; the second one of this worker is still the same."""
        position = target.position
        if position not in self._again:
            count = partial(fleetattempts.started, store, self._run, position)
            self._attempts[position] = self._patiently(store, count)
        return self._attempts.get(position, target.attempts + 1)

    def _hear(self, store: Store, one: _Child) -> None:
        part = os.read(one.out.fileno(), _LARGEST_LINE)
        one.buffer += part
        while b"\n" in one.buffer:
            line, _, rest = one.buffer.partition(b"\n")
            one.buffer = bytearray(rest)
            said = Said.read(bytes(line))
            if said.kind == "reached":
                self._reached(store, one, said.cluster_id)
                if one.pid not in self._children:
                    return
            else:
                one.told = said
        if not part:
            self._end(store, one)

    def _reached(self, store: Store, one: _Child, cluster_id: str) -> None:
        position, claimed = one.target.position, fleetclaims.Claim()
        if cluster_id:
            claim = partial(fleetclaims.claim, store, self._run, position, cluster_id, self._order.asked)
            claimed = self._patiently(store, claim)
        if claimed.holder:
            if claimed.waits:
                self._aside.add(position)
            one.told = Said("done")
            self._end(store, one)
            return
        if one.gone is not None:
            self._go(one)  # soon done, and then nothing of it can be lost
            return
        one.deadline = float("inf")  # until it may scan
        self._ready.append(one)

    def _end(self, store: Store, one: _Child) -> None:
        """The process is over, or is to be: see to it that what became of its cluster is written down."""
        self._selector.unregister(one.out)
        one.out.close()
        one.go.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(one.pid, signal.SIGKILL)  # also what it left behind
        status = os.waitstatus_to_exitcode(os.waitpid(one.pid, 0)[1])
        del self._children[one.pid]
        if one in self._ready:
            self._ready.remove(one)
        told = one.told
        if told is not None and told.kind == "done":
            return
        if told is not None and told.kind == "wrong":
            self._wrong.append(told.text)
        elif told is not None and told.kind == "unstored":
            self._unstored.append(told.text)
        elif told is not None:
            self._went(store, one, Said("gone", told.text, told.outcome))
        elif one.killed == _LEFT:
            if one.scanning and one.gone is None:
                with contextlib.suppress(StoreError):
                    _do(store, partial(fleetattempts.left, store, self._run, one.target.position))
        elif one.killed:
            outcome = Outcome.FAILED if one.scanning else Outcome.UNREACHABLE
            self._went(store, one, Said("gone", one.killed, outcome.value))
        elif status == -signal.SIGKILL and one.target.position not in self._again:
            # Most likely there was no memory left: once more, when nothing runs beside it.
            self._again.add(one.target.position)
            self._parallel = 1
            self._waiting.append(one.target)
        else:
            text = f"the process of its scan {ending(status)} before it was done."
            self._went(store, one, Said("gone", text, Outcome.FAILED.value))

    def _went(self, store: Store, one: _Child, why: Said) -> None:
        """Have another process write an error for each requirement; where that ends too, there is only the reason."""
        if one.gone is None:
            self._gone.append((one.target, why))
        else:
            self._settle(store, one, Outcome(one.gone.outcome), one.gone.text)

    def _settle(self, store: Store, one: _Child, outcome: Outcome, reason: str) -> None:
        seconds = time.monotonic() - one.began
        position = one.target.position
        settle = partial(stored.settle, store, self._run, position, self._order.asked, outcome)
        self._patiently(store, partial(settle, reason=reason, seconds=seconds))
        attempts = 1 + self._attempts.get(position, one.target.attempts)
        with contextlib.suppress(StoreError):
            apart(lambda: fleetrun.sweep(self._order.place, self._run, self._day, position, attempts))

    def _kill_all(self) -> None:
        for one in self._children.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(one.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(one.pid, 0)
        self._children.clear()


def _do(store: Store, work: Callable[[], T]) -> T:
    """What is asked of a store: of objects in another process."""
    return work() if store.objects is None else apart(work)


_LEFT = "returned to the run"
