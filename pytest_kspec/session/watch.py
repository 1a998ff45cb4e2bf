"""Looks after the workers of pytest-xdist: a run that waits for one of them ends.

xdist notices the end of a worker by the end of what it sends. That does not come where another process holds the
same pipe (a copy of the worker that a check made), nor where the worker stands still (stopped by a signal).
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from xdist.workermanage import Marker

from pytest_kspec.evaluate.timelimit import GRACE_S

EVERY_S = 0.5
DRAIN_S = 3.0
"""How long what a worker sent before its end may be on its way."""
SILENT_S = 30.0
"""Beyond its time limit: how long a worker may say nothing while it runs a requirement."""


def process_of(gateway: Any) -> subprocess.Popen[bytes] | None:
    """The process behind a gateway; None for another kind of gateway, or another execnet."""
    process = getattr(getattr(gateway, "_io", None), "popen", None)
    return process if isinstance(process, subprocess.Popen) else None


class _Watched:
    """One worker. `lock` keeps its end from being told twice."""

    def __init__(self, node: Any, receive: Callable[[Any], None]) -> None:
        self.node = node
        self.receive = receive
        self.lock = threading.Lock()
        self.gone = False
        self.running = False
        self.heard = time.monotonic()
        self.ended = 0.0  # since when its process is seen to be gone
        self.pipe = _pipe_of(node)

    def process_from_remote(self, event: Any) -> None:
        """What xdist would call, unless the worker is taken to be gone: then another process says it."""
        with self.lock:
            if self.gone:
                return
            self.heard = time.monotonic()
            if event is Marker.END:
                self.gone = True
            elif event[0] == "logstart":
                self.running = True
            elif event[0] in ("runtest_protocol_complete", "workerfinished"):
                self.running = False
            self.receive(event)


class Watch:
    """Of one run. limit_s: of setup, call and teardown of a check, each; 0 for none: a worker may then be silent."""

    def __init__(self, limit_s: float) -> None:
        self._silent_s = limit_s + GRACE_S + SILENT_S if limit_s else 0.0
        self._watched: list[_Watched] = []
        self._thread: threading.Thread | None = None

    def heard(self, node: Any) -> Callable[[Any], None]:
        """What is called with each event of this worker, in place of the node's own method."""
        watched = _Watched(node, node.process_from_remote)
        self._watched.append(watched)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="kspec-watch", daemon=True)
            self._thread.start()
        return watched.process_from_remote

    def _run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            for watched in list(self._watched):
                if watched.gone:
                    self._watched.remove(watched)
                elif (process := process_of(getattr(watched.node, "gateway", None))) is not None:
                    self._look(watched, process)

    def _look(self, watched: _Watched, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        if process.poll() is None:
            if self._silent_s and watched.running and now - watched.heard > self._silent_s:
                process.kill()
        elif not watched.ended:
            watched.ended = now
        elif now - watched.ended > DRAIN_S:
            if watched.pipe:
                _end_copies(watched.pipe)
                watched.pipe = ""
            if now - watched.ended > 2 * DRAIN_S:  # where its copies cannot be found
                watched.process_from_remote(Marker.END)


def _pipe_of(node: Any) -> str:
    """The pipe that a worker writes to, as /proc calls it; "" where there is no such thing."""
    stream = getattr(getattr(getattr(node, "gateway", None), "_io", None), "infile", None)
    try:
        return os.readlink(f"/proc/self/fd/{stream.fileno()}") if stream is not None else ""
    except (OSError, ValueError):
        return ""


def _end_copies(pipe: str) -> None:
    """End the processes that hold a dead worker's pipe: copies of it, made without exec, that serve nobody."""
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) == os.getpid():
            continue
        with suppress(OSError):  # others' processes, and those that end meanwhile
            if any(os.readlink(fd) == pipe for fd in (folder / "fd").iterdir()):
                os.kill(int(folder.name), signal.SIGKILL)
