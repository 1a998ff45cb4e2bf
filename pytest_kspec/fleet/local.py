"""The engine `local`: workers as processes of this machine. A shard whose worker fails is tried again, as by a Job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from pytest_kspec.errors import EXIT_USAGE
from pytest_kspec.fleet.work import EXIT_DONE, STOP_S
from pytest_kspec.shown import inert
from pytest_kspec.supervised import ending

TRIES = 3
STORE = "KSPEC_STORE"
"""The variable that names the store to workers: a command line is seen by everybody on a machine."""
_TAIL = 4096
_POLL_S = 0.2


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    tries: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A shard that has no worker any more and did not come to its end. final: starting it again does not help."""

    shard: int
    reason: str
    final: bool


def run_shards(
    run: str,
    shards: list[int],
    *,
    store: str,
    workers: int,
    words: tuple[str, ...] = (),
    watch: Callable[[], None] = lambda: None,
) -> list[Failed]:
    """Run workers until all shards are done; what failed for good.

    words: more options of `kspec fleet work`; watch: called some times a second. Raises KeyboardInterrupt, with
    all workers ended.
    """
    waiting = [(shard, 1) for shard in shards]
    running: dict[int, _Running] = {}
    failed: list[Failed] = []
    environment = {**os.environ, STORE: store}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                shard, tries = waiting.pop(0)
                running[shard] = _start(run, shard, tries, words, environment)
            time.sleep(_POLL_S)
            watch()
            for shard, one in list(running.items()):
                code = one.process.poll()
                if code is None:
                    continue
                del running[shard]
                said = _said(one.output)
                if code == EXIT_DONE:
                    continue
                if code == EXIT_USAGE or one.tries >= TRIES:
                    failed.append(Failed(shard, said or f"its worker {ending(code)}.", code == EXIT_USAGE))
                else:
                    waiting.append((shard, one.tries + 1))
    finally:
        _end(running)
    return failed


def _start(
    run: str, shard: int, tries: int, words: tuple[str, ...], environment: Mapping[str, str]
) -> _Running:
    output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it was read
    command = [sys.executable, "-P", "-m", "pytest_kspec.cli.main", "fleet", "work"]
    process = subprocess.Popen(
        [*command, f"--run={run}", f"--index={shard}", f"--with-parent={os.getpid()}", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=output,
        env=environment,
        start_new_session=True,  # Ctrl-C is for this process, which ends its workers
    )
    return _Running(process, output, tries)


def _said(output: IO[bytes]) -> str:
    """The last lines of a worker, on which credentials never stand."""
    with output:
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _TAIL))
        lines = output.read().decode("utf-8", "replace").splitlines()
    return inert(" ".join(line.strip() for line in lines if line.strip()))


def _end(running: dict[int, _Running]) -> None:
    for one in running.values():
        one.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S + 5
    for one in running.values():
        try:
            one.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            one.process.kill()
            one.process.wait()
        one.output.close()
