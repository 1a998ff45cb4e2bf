"""Labels of namespaces, for specifications that select by them. Asked when needed, kept for seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import KspecError

FRESH_S = 5.0
STALE_S = 60.0
REMEMBERED = 5000


class NamespaceLabels:
    """Fresh for `FRESH_S`; where the API server does not answer, what is known is used for `STALE_S`."""

    def __init__(self, access: Access, clock: Callable[[], float] = time.monotonic) -> None:
        self._access = access
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Mapping[str, str]]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Mapping[str, str] | None]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kspec-namespaces")

    async def of(self, namespace: str) -> Mapping[str, str] | None:
        """Labels of this Namespace; None where they could not be read. Many who ask at once ask once."""
        known = self._known.get(namespace)
        age = self._clock() - known[0] if known else STALE_S
        if known and age < FRESH_S:
            return known[1]
        asking = self._asking.get(namespace)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._thread, self._ask, namespace)
            self._asking[namespace] = asking
            asking.add_done_callback(lambda _: self._asking.pop(namespace, None))
        found = await asyncio.shield(asking)
        if found is None:
            return known[1] if known and age < STALE_S else None
        self._known[namespace] = (self._clock(), found)
        self._known.move_to_end(namespace)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self, namespace: str) -> Mapping[str, str] | None:
        try:
            found = self._access.do(lambda writer: writer.get("v1", "Namespace", namespace))
        except KspecError:
            return None
        labels = found["metadata"].get("labels") or {}  # `get` knows that this is the Namespace
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            return None
        return labels
