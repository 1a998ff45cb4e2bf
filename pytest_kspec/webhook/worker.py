"""The process that evaluates large reviews: `python -P -m pytest_kspec.webhook.worker`, started by `large`.

Python runs one thread at a time, so that a thread would hold up the ordinary reviews. A process of its own gives way
to them (nice), is bounded in memory, can be ended in the middle of a rule, and ends with the webhook.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import msgspec

from pytest_kspec import typed
from pytest_kspec.enforce import admission
from pytest_kspec.enforce.decide import Policies
from pytest_kspec.webhook import wire
from pytest_kspec.webhook.judging import OPEN, Said, judge, without_evaluation
from pytest_kspec.webhook.specs import Work

NICE = 10
MEMORY = 512 << 20
"""Bytes of data that it may have: 7 MiB of JSON can become 300 MB of small maps."""
OUT_OF_MEMORY = "it exceeds the memory limit of a review"


def main() -> None:
    """Until standard input ends."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the webhook, which ends this process
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a user's rule prints is no answer
    gc.disable()  # data of a review has no cycles; walking it again and again would take half of the time
    _Worker(sys.stdin.buffer, answers).run()


class _Worker:
    def __init__(self, asked: BinaryIO, answers: BinaryIO) -> None:
        self._asked = asked
        self._answers = answers
        self._work = Work((), frozenset())
        self._policies = Policies(())

    def run(self) -> None:
        for kind, content in self._frames():
            if kind == wire.POLICIES:
                self._work = pickle.loads(content)
                self._policies = self._work.policies()
                gc.collect()
                gc.freeze()
                self._send(wire.READY, b"")
            else:
                review = typed.from_msgpack(content, wire.Review)
                try:
                    self._send(wire.SAID, msgspec.msgpack.encode(self._judge(review)))
                except admission.NotAReview as error:
                    self._send(wire.NO_REVIEW, str(error).encode())
                except MemoryError:
                    self._send(wire.TOO_LARGE, OUT_OF_MEMORY.encode())

    def _judge(self, review: wire.Review) -> Said:
        # Nothing is remembered of what is large: the next one is another.
        policies = Policies(self._policies.all)
        request = admission.read_review(review.body)
        if request.namespace in self._work.excluded or (review.only and review.only not in policies.by_id):
            return Said(admission.allow(request.uid))
        if not review.evaluate:
            return without_evaluation(request, policies, review.only, review.moment, OPEN, internal=True)
        labels = self._labels(request.namespace) if policies.needs_labels and request.namespace else None
        return judge(request, policies, review.only, review.moment, labels)

    def _labels(self, namespace: str) -> Mapping[str, str] | None:
        self._send(wire.ASKS, namespace.encode())
        for _, content in self._frames():
            return typed.from_msgpack(content, wire.Labels).labels
        sys.exit()

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while head := self._asked.read(wire.HEADER.size):
            kind, length = wire.HEADER.unpack(head)
            yield kind, self._asked.read(length)

    def _send(self, kind: int, content: bytes) -> None:
        self._answers.write(b"".join(wire.frame(kind, content)))
        self._answers.flush()


if __name__ == "__main__":
    main()
