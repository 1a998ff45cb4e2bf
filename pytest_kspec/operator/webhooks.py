"""What replicas of the webhook say of themselves, read as long as there is an AlertConfig to tell."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.enforce.engines import webhook_state
from pytest_kspec.errors import SourceError
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.observed import of_webhooks
from pytest_kspec.shown import inert

log = logging.getLogger("kspec.operator")

EVERY_S = 10.0


class Webhooks:
    """Asks the cluster at most every EVERY_S, and posts what it says. Thread-safe. namespace: of the webhook."""

    def __init__(self, access: Access, board: Board, namespace: str = NAMESPACE) -> None:
        self._access, self._board, self._namespace = access, board, namespace
        self._lock = threading.Lock()
        self._next = 0.0
        self._uid = ""
        self._problem = ""

    def look(self) -> None:
        """Read it if it is time. What cannot be read is said once, and stays as it was told."""
        with self._lock:
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + EVERY_S
        try:
            self._look()
        except LostLease:
            raise
        except (SourceError, webhook_state.Malformed) as error:
            if str(error) != self._problem:
                log.warning("the state of the webhook's replicas is not known: %s", error)
            self._problem = str(error)
        else:
            self._problem = ""

    def _look(self) -> None:
        if not self._uid:
            self._uid = self._access.do(lambda writer: writer.source.info().uid)
        found = self._access.do(
            lambda writer: writer.find("v1", "ConfigMap", webhook_state.NAME, namespace=self._namespace)
        )
        now = clock.now()
        read = webhook_state.read((found or {}).get("data") or {}, now)
        name = self._access.name
        made = of_webhooks(name, self._uid or f"live:{name}", read.states, now)
        if read.unknown:  # what the others say is told; nothing ends, since these may go on saying it
            self._board.post(replace(made, unknown=None))
            names = inert(", ".join(read.unknown[:3]))[:200]
            raise webhook_state.Malformed(f"these keys do not contain the state of a webhook: {names}")
        self._board.post(made)
