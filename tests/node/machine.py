"""Namespaces in which a node runs, as objects that a test starts and stops."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.controlplane.process import Process, ServerFailed

from . import parts

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"
READY_S = 60.0
STOP_S = 240.0  # the files of images are removed, beside other work
COMMAND_S = 120.0


class Machine:
    """One machine of a cluster: mounts, processes and a cgroup of its own.

    address: of the node, not in 127/8
    network: the machine whose network it shares; of its own if none is given

    A machine is a `Place` for servers that need only its network; `inside` is for those that also need its mounts.
    """

    def __init__(self, address: str, network: Machine | None = None) -> None:
        self.address = address
        self.network = network
        self.folder = Path(tempfile.mkdtemp(prefix="kspec-machine-"))
        self.cgroup = ""
        self._holder = 0
        self._keeper: subprocess.Popen[str] | None = None
        self._relays: dict[int, Process] = {}

    @property
    def prefix(self) -> Sequence[str]:
        """Starts a command in the network of this machine, and otherwise where the tests are."""
        return (parts.command("nsenter"), f"--net=/proc/{self._holder}/ns/net")

    @property
    def inside(self) -> Sequence[str]:
        """Starts a command on this machine."""
        spaces = f"/proc/{self._holder}/ns"
        return (*self.prefix, f"--mount={spaces}/mnt", f"--pid={spaces}/pid_for_children")

    def reach(self, port: int) -> None:
        """Make a port of its loopback answer on ours."""
        self._relay(port, (), LOOPBACK, self._holder)

    def lend(self, port: int) -> None:
        """Make a port of our loopback answer at the address of the node."""
        self._relay(port, self.prefix, self.address, os.getpid())

    def _relay(self, port: int, prefix: Sequence[str], address: str, process: int) -> None:
        if port in self._relays:
            return
        words = [*prefix, sys.executable, "-I", "-S", HERE / "relay.py", address, str(port), str(process)]
        folder = self.folder / f"relay-{port}"
        folder.mkdir()
        relay = Process(f"relay-{port}", words, folder, {"PATH": parts.SYSTEM_PATH})
        relay.start()
        self._relays[port] = relay

    def run(self, *command: str | Path, timeout_s: float = COMMAND_S) -> str:
        """What a command on this machine prints. Raises ServerFailed."""
        words = [*self.inside, *(str(word) for word in command)]
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                env={"PATH": parts.SYSTEM_PATH},
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"{command[0]} took more than {timeout_s:.0f} s") from error
        if done.returncode:
            raise ServerFailed(f"{' '.join(str(word) for word in command)}: {done.stderr}{done.stdout}")
        return done.stdout

    def start(self) -> Self:
        """Make the namespaces. Raises: NoNode, ServerFailed."""
        if said := parts.problem():
            raise parts.NoNode(said)
        network = str(self.network._holder) if self.network is not None else "0"
        words = [sys.executable, "-I", "-S", HERE / "keeper.py", self.folder, self.address, network]
        log = self.folder / "keeper.log"
        with log.open("wb") as file:
            self._keeper = subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={"PATH": parts.SYSTEM_PATH},
                start_new_session=True,
            )
        assert self._keeper.stdout is not None
        readable, _, _ = select.select([self._keeper.stdout], [], [], READY_S)
        line = self._keeper.stdout.readline().split() if readable else []
        if not line:
            said = log.read_text(encoding="utf-8", errors="replace")
            raise ServerFailed(f"the namespaces of a node could not be made: {said}")
        self._holder, self.cgroup = int(line[1]), line[2]
        return self

    def stop(self) -> None:
        """End all that runs there; mounts, cgroup and files go with it."""
        for relay in self._relays.values():
            relay.stop()
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        with contextlib.suppress(OSError):
            keeper.stdin.close()
        try:
            keeper.wait(STOP_S)
        finally:
            keeper.kill()
            keeper.wait()
            keeper.stdout.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (parts.NoNode, ServerFailed):
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
