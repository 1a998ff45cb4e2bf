"""One cluster of a run, in a process of its own: reach it, scan it, store what came of it.

Whatever a check or a library does to its process, it does to one cluster. What is said to the worker is one line of
JSON each: `reached` (then the child waits until it may scan), and one last word.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

from pytest_kspec.audit import trail
from pytest_kspec.cluster.limits import Limits, default_limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.cluster.sources.unopened import UnopenedSource
from pytest_kspec.errors import (
    EXIT_NOT_EVALUATED,
    AccessDenied,
    KspecError,
    SourceError,
    SourceUnavailable,
    StoreError,
    UsageError,
    WrongStore,
    without_credentials,
)
from pytest_kspec.fleet.runs import Order
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.fleet.targets.opening import open_target
from pytest_kspec.kube.resources import ClusterInfo
from pytest_kspec.results.order import canonical
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage.fleetrun import StoredTarget
from pytest_kspec.storage.opening import open_any

REACH_S = 28.0
"""From the first packet to what became of a cluster that does not answer: its outcome is stored within 30 s."""
STORE_S = 60.0
"""How long a result waits for a store that is away, where nothing else is said."""
_PAUSES_S = (1.0, 10.0)
T = TypeVar("T")


class Scan(Protocol):
    """The scan of one cluster by an order, the same as that of `kspec scan`. Raises KspecError."""

    def __call__(self, ref: str, source: Source, order: Order, *, rehearsal: bool = False) -> ScanResult:
        """rehearsal: it only loads what scans need, and is told to nobody."""


class Task(NamedTuple):
    """What a child is given. gone: there is nothing to reach, and this is what became of the cluster.

    day: on which the run began; attempt: known when the scan begins, as `storage.fleetattempts.started` counts
    """

    store: str
    run: str
    order: Order
    target: StoredTarget
    gone: Said | None = None
    patience_s: float = STORE_S
    day: str = ""
    attempt: int = 0


class Said(NamedTuple):
    """A line of the child. kind: reached, done, wrong (the order), unstored, fault."""

    kind: str
    text: str = ""
    outcome: str = ""
    cluster_id: str = ""

    def line(self) -> bytes:
        """As it crosses the pipe."""
        return json.dumps(list(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Said:
        """The inverse."""
        return cls(*json.loads(line))


def reach_limits() -> Limits:
    """Four connections of 5 s, and as many answers: within REACH_S, and one refused answer is not the last word."""
    return default_limits()._replace(
        connect_timeout_s=5.0, read_timeout_s=6.0, retries=3, request_s=REACH_S, retry_after_max_s=10.0
    )


def work(task: Task, scan: Scan, out: BinaryIO, go: BinaryIO) -> None:
    """Do it all. What is said last is what became of the cluster; without a last word the process was ended.

    A cluster that cannot be read has a result too: an error for each requirement.
    """
    began = time.monotonic()

    def say(said: Said) -> None:
        out.write(said.line())
        out.flush()

    try:
        source, info, gone = (None, None, task.gone) if task.gone else reach(task)
        say(Said("reached", cluster_id=info.uid if info else "", outcome=gone.outcome if gone else ""))
        reached = time.monotonic()
        if not (line := go.readline()):
            return  # the worker is gone, or it ends
        task = task._replace(attempt=int(line))
        began += time.monotonic() - reached  # waiting for others is not what this cluster takes
        said = _scanned(task, scan, source, info, gone, began)
        trail.flush()  # this process ends at once when that is said
        say(said)
    except WrongStore as error:
        say(Said("wrong", str(error)))
    except StoreError as error:
        say(Said("unstored", str(error)))
    except Exception as error:  # noqa: BLE001 - a fault of ours or of a library concerns this cluster only
        text = without_credentials(f"{type(error).__name__}: {error}")
        say(Said("fault", f"an internal error of kspec: {text}", Outcome.FAILED.value))


def reach(task: Task) -> tuple[LiveSource | None, ClusterInfo | None, Said | None]:
    """The open cluster and which it is; or why nobody can say."""
    try:
        source = _target(task.target.ref, task.order.kubeconfig or None).open(reach_limits())
    except KspecError as error:
        return None, None, Said("gone", _why(error), Outcome.FAILED.value)
    found = _info(source)
    if isinstance(found, Said):
        source.close()
        return None, None, found
    source.bound(default_limits())
    return source, found, None


def _why(error: KspecError) -> str:
    """Without the name of the cluster, beside which it stands."""
    return without_credentials(f"{error.what} {error.fix}".strip())


def _target(ref: str, kubeconfig: str | None) -> Target:
    """What a run wrote down of a cluster, found again. Raises KspecError."""
    kind, _, rest = ref.partition(":")
    if kind != "context":
        return open_target(kind, rest, kubeconfig=kubeconfig)
    (target, *_) = find_targets(Wanted((ref,), kubeconfig=kubeconfig))
    return target


def _info(source: LiveSource) -> ClusterInfo | Said:
    try:
        answer = source.connection.get("/version")
        if answer.status == 401:
            text = "the API server does not accept the credentials (HTTP 401)."
            return Said("gone", text, Outcome.REFUSED.value)
        if answer.status == 429 or answer.status >= 500:
            text = f"the API server answers with HTTP {answer.status}. {answer.message}".rstrip()
            return Said("gone", text, Outcome.UNREACHABLE.value)
        if answer.status == 403:  # it is there: the checks say what they may not read
            return ClusterInfo(source.name, source.kind, "", "")
        return source.info()
    except AccessDenied as error:
        return Said("gone", _why(error), Outcome.REFUSED.value)
    except SourceError as error:
        return Said("gone", _why(error), Outcome.UNREACHABLE.value)


def _scanned(
    task: Task,
    scan: Scan,
    source: LiveSource | None,
    info: ClusterInfo | None,
    gone: Said | None,
    began: float,
) -> Said:
    target = task.target
    why = SourceUnavailable(gone.text if gone else "", where=target.name)
    given: Source = source if source is not None else UnopenedSource(target.ref, why, target.name)
    try:
        result = canonical(scan(target.ref, given, task.order))
    except UsageError as error:
        return Said("wrong", str(error))
    except KspecError as error:
        return Said("fault", _why(error), Outcome.FAILED.value)
    found = sorted((cluster.spec_name, cluster.evidence.spec_sha256) for cluster in result.clusters)
    if found != sorted(map(tuple, task.order.asked)):
        return Said("wrong", "the specifications changed during the run.")
    if gone is None and (lost := _lost(result, info, source)) is not None:
        return _scanned(task, scan, None, None, lost, began)
    from pytest_kspec.reports import json as report

    document = report.render(result)
    patiently(lambda: _commit(task, result, document, gone, time.monotonic() - began), task.patience_s)
    return Said("done")


def _lost(result: ScanResult, info: ClusterInfo | None, source: LiveSource | None) -> Said | None:
    """What became of a cluster that was reached, and is not the one any more."""
    if info is None or not info.uid:
        return None
    for cluster in result.clusters:
        if not cluster.uid:
            why = next((check.reason for check in cluster.checks if check.reason), "it was lost.")
            return Said("gone", f"it answered at first, and then: {why}", Outcome.UNREACHABLE.value)
    seen = {cluster.uid for cluster in result.clusters}
    if source is not None:
        with contextlib.suppress(SourceError):  # what it answered before it went away is its own
            seen.add(source.uid() or info.uid)  # also behind the last list
    if seen == {info.uid}:
        return None
    text = "its UID changed during the scan: another cluster answers now."
    return Said("gone", text, Outcome.FAILED.value)


def _commit(task: Task, result: ScanResult, document: bytes, gone: Said | None, seconds: float) -> None:
    from pytest_kspec.reports import json as report

    with closing(open_any(task.store, report.parse)) as store:
        stored.commit(
            store,
            task.run,
            task.target.position,
            task.order.asked,
            result,
            document,
            outcome=Outcome(gone.outcome) if gone else Outcome.SCANNED,
            reason=gone.text if gone else "",
            place=task.order.place,
            seconds=seconds,
            day=task.day,
            attempt=task.attempt,
            attempts=task.attempt or task.target.attempts + 1,
        )


def patiently(store: Callable[[], T], seconds: float) -> T:
    """What it returns: a store that is away for a moment loses no result.

    Raises StoreError after so many seconds, WrongStore at once.
    """
    deadline = time.monotonic() + seconds
    pause = _PAUSES_S[0]
    while True:
        try:
            return store()
        except WrongStore:
            raise
        except StoreError:
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _PAUSES_S[1])


def alone(descriptors: Sequence[int], parent: int) -> None:
    """What a child does first: a group of its own, nothing to read, and it ends when its worker does."""
    os.setsid()
    end_with_parent(parent)
    for descriptor in descriptors:
        os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)


def end_with_parent(parent: int) -> None:
    """Linux kills this process when its parent is killed; elsewhere a child ends where it next waits for the worker.

    parent: who started it, and may be gone already
    """
    import ctypes
    import signal
    import sys

    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(EXIT_NOT_EVALUATED)
