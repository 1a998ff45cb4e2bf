"""One server process: started in a group of its own, its output kept, and never left behind.

Servers are ended with SIGKILL. Nothing they hold outlives the tests, and an API server that is asked politely
waits for its watchers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pytest_kspec.guard import Guard

TAIL_LINES = 25


class ServerFailed(RuntimeError):
    """A server ended, or was not ready in time; the message ends with the last lines of its log."""


class PortTaken(ServerFailed):
    """Another process took the port between our choice and the server's bind; worth another try."""


class Place(Protocol):
    """Where servers run: `prefix` starts a command there, `reach` makes a port of its loopback answer on ours."""

    @property
    def prefix(self) -> Sequence[str]: ...

    def reach(self, port: int) -> None: ...


class _Here:
    """This process's own place."""

    prefix: Sequence[str] = ()

    def reach(self, port: int) -> None:
        """Every port does."""


HERE: Place = _Here()


GUARD = Guard()
"""Ends what the tests started when they are gone, also after SIGKILL."""


def free_port() -> int:
    """A port on loopback that was free a moment ago; the kernel does not hand it out again at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A command with its log; `start` and `stop` may be called again and again.

    `folder` is its working folder, and is removed when the test process dies without `stop`. `environment` is added to
    the small one that every server has.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[object],
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.folder = folder
        self.environment = dict(environment or {})
        self.log = folder / f"{name}.log"
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id, for measurements; none when not running."""
        return self._popen.pid if self._popen is not None and self.running else None

    def start(self) -> None:
        """Start; returns at once. The environment is small: no kubeconfig, no proxy, no feature switch."""
        environment = {"PATH": os.defpath, "HOME": str(self.folder), "TMPDIR": str(self.folder)}
        environment |= self.environment
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )
        GUARD.add(self._popen.pid, self.folder)

    def stop(self) -> None:
        """End the process and all that it started; nothing happens when it has ended already."""
        popen, self._popen = self._popen, None
        if popen is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait(timeout=10)
        GUARD.remove(popen.pid)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Ask `ready` every 50 ms. Raises: PortTaken, ServerFailed; the process is stopped by then."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            ended = not self.running
            if ended or time.monotonic() > deadline:
                status = self._popen.returncode if self._popen is not None else None
                self.stop()
                tail = self.tail()
                taken = ended and "address already in use" in tail
                what = f"ended with status {status}" if ended else f"was not ready in {timeout_s:.0f} s"
                raise (PortTaken if taken else ServerFailed)(f"{self.name} {what}. End of its log:\n{tail}")
            time.sleep(0.05)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log; empty when there is none."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
