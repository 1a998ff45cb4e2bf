"""Large reviews: evaluated in a process of their own, one after the other, with a budget of time.

Ordinary reviews never wait for them. What takes too long, or does not fit into the queue, is not judged: the policies
then do as their failure policies say, with a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pytest_kspec import typed
from pytest_kspec.enforce.admission import NotAReview
from pytest_kspec.webhook import wire
from pytest_kspec.webhook.judging import Said
from pytest_kspec.webhook.specs import Work

log = logging.getLogger("kspec.webhook")

COMMAND = (
    sys.executable,
    "-P",
    "-m",
    "pytest_kspec.webhook.worker",
)  # -P: nothing of the working directory is code
START_S = 30.0
AskLabels = Callable[[str], Awaitable[Mapping[str, str] | None]]


class NotJudged(Exception):
    """Why a large review was not evaluated."""


@dataclass(frozen=True, slots=True)
class Budget:
    """above: bytes of a body from which on it is large. waiting: how many wait, and waiting_bytes how much.

    wait_s, evaluate_s: both together are below the 5 s that a registration should wait for an answer.
    """

    above: int = 64 << 10
    waiting: int = 16
    waiting_bytes: int = 32 << 20
    wait_s: float = 1.5
    evaluate_s: float = 2.5


class Large:
    """The worker, as the event loop sees it. It is started when there are specifications, and again when it ended."""

    def __init__(self, budget: Budget = Budget()) -> None:
        self._budget = budget
        self._work: bytes = b""
        self._process: asyncio.subprocess.Process | None = None
        self._known: bytes = b""  # what the process works with
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._waiting_bytes = 0
        self._starting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def above(self) -> int:
        """Bytes of a body from which on it is large."""
        return self._budget.above

    def update(self, work: Work) -> None:
        """New specifications, for the next review and all that follow. From any thread."""
        self._work = pickle.dumps(work)

    async def judge(
        self, body: bytes, only: str, moment: datetime, labels: AskLabels, *, evaluate: bool
    ) -> Said:
        """What is said about one review. Raises NotJudged, NotAReview."""
        budget = self._budget
        if self._waiting >= budget.waiting or self._waiting_bytes + len(body) > budget.waiting_bytes:
            raise NotJudged(f"too many reviews of more than {budget.above >> 10} KiB at once")
        self._waiting += 1
        self._waiting_bytes += len(body)
        try:
            try:
                async with asyncio.timeout(budget.wait_s):
                    await self._turn.acquire()
            except TimeoutError:
                raise NotJudged(f"it waited for {budget.wait_s:g} s for other large reviews") from None
            try:
                return await self._judge(wire.Review(body, only, moment, evaluate), labels)
            finally:
                self._turn.release()
        finally:
            self._waiting -= 1
            self._waiting_bytes -= len(body)

    async def _judge(self, review: wire.Review, labels: AskLabels) -> Said:
        """Within the budget; whatever ends it early ends the process, too: half an answer is none."""
        sent = answered = False
        try:
            async with asyncio.timeout(self._budget.evaluate_s):
                process = await self._ready()
                sent = True
                await _send(process, wire.REVIEW, msgspec.msgpack.encode(review))
                kind, content = await _receive(process)
                if kind == wire.ASKS:
                    found = await labels(content.decode())
                    await _send(process, wire.LABELS, msgspec.msgpack.encode(wire.Labels(found)))
                    kind, content = await _receive(process)
            answered = True
        except TimeoutError:
            what = f"it takes longer than {self._budget.evaluate_s:g} s to evaluate"
            if not sent:
                what = "the process that evaluates large reviews is not ready yet"
            log.warning("a review of %d bytes was abandoned: %s", len(review.body), what)
            raise NotJudged(what) from None
        except (OSError, EOFError) as error:
            what = f"the process that evaluates large reviews {'ended meanwhile' if sent else 'could not be started'}"
            log.error("a review of %d bytes was abandoned: %s", len(review.body), what)
            raise NotJudged(what) from error
        finally:
            if sent and not answered:
                self._end()
                self.begin()
        if kind == wire.NO_REVIEW:
            raise NotAReview(content.decode())
        if kind == wire.TOO_LARGE:
            raise NotJudged(content.decode())
        return typed.from_msgpack(content, Said)

    async def _ready(self) -> asyncio.subprocess.Process:
        """The process, with the specifications that are in force. Raises OSError where it cannot be had."""
        for _ in range(2):  # specifications may change while it starts
            if self._process is not None and self._known is self._work and self._process.returncode is None:
                return self._process
            self.begin()
            assert self._starting is not None
            await asyncio.shield(self._starting)
        raise OSError("the process is not running")

    def begin(self) -> None:
        """Start the process, or tell it the specifications, in the background."""
        if self._work and (self._starting is None or self._starting.done()):
            self._starting = asyncio.get_running_loop().create_task(self._start())

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(START_S):
                if self._process is None or self._process.returncode is not None:
                    pipe = asyncio.subprocess.PIPE
                    self._process = await asyncio.create_subprocess_exec(*COMMAND, stdin=pipe, stdout=pipe)
                work = self._work
                await _send(self._process, wire.POLICIES, work)
                await _receive(self._process)
                self._known = work
        except (OSError, EOFError, TimeoutError) as error:
            log.error(
                "the process for large reviews could not be started: %s", str(error) or type(error).__name__
            )
            self._end()

    async def refresh(self) -> None:
        """Have it ready for the specifications that are in force now, before a large review comes."""
        async with self._turn:
            with contextlib.suppress(OSError):  # said already
                await self._ready()

    def _end(self) -> None:
        process, self._process, self._known = self._process, None, b""
        if process is not None:
            task = asyncio.get_running_loop().create_task(_killed(process))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End the process."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        self._end()
        if self._ending:
            await asyncio.wait(self._ending)


async def _killed(process: asyncio.subprocess.Process) -> None:
    """Kill it, and wait until it and its pipes are gone."""
    assert process.stdin is not None
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.stdin.close()
    await process.wait()
    with contextlib.suppress(OSError):
        await process.stdin.wait_closed()


async def _send(process: asyncio.subprocess.Process, kind: int, content: bytes) -> None:
    assert process.stdin is not None
    process.stdin.writelines(wire.frame(kind, content))
    await process.stdin.drain()


async def _receive(process: asyncio.subprocess.Process) -> tuple[int, bytes]:
    assert process.stdout is not None
    kind, length = wire.HEADER.unpack(await process.stdout.readexactly(wire.HEADER.size))
    return kind, await process.stdout.readexactly(length)
