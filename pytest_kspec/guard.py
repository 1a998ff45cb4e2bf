"""Ends the processes that this one started when this one is gone, however it went.

`atexit` does not run after SIGKILL, and a death signal (`PR_SET_PDEATHSIG`) is Linux only and fires when the
*thread* that started the process ends. A pipe has neither problem: this file, run as a program, holds the reading end,
and reads end of file as soon as the process that writes is no more.

Each line is `+<process group> <folder to remove, or nothing>` or `-<process group>`. As a program it runs with
`python -I -S`: standard library only, no import of the project.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

_PYTHON = sys.executable
ENDS_S = 10.0


class Guard:
    """The writing end; one for a process, started with the first group that it is told of."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0

    def add(self, group: int, folder: Path | None = None) -> None:
        """End this process group, and remove the folder, when this process is gone. Raises OSError."""
        self._tell(f"+{group} {folder or ''}")

    def remove(self, group: int) -> None:
        """It ended, and its folder is the caller's. Raises OSError."""
        self._tell(f"-{group}")

    def _tell(self, line: str) -> None:
        with self._lock:
            # A process that was forked has a guard of its own: that of its parent lives as long as the parent.
            if self._owner != os.getpid() or self._process is None or self._process.poll() is not None:
                self._owner = os.getpid()
                self._process = subprocess.Popen(
                    [_PYTHON, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,  # Ctrl-C in the terminal must not end it before the others
                )
                atexit.register(self._end)
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _end(self) -> None:
        """At a normal exit it does its work now; waited for, so that no warning comes of it."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait(timeout=ENDS_S)


def main() -> None:
    """Remember the groups that live, until end of file; then end them."""
    living: dict[int, str] = {}
    for line in sys.stdin:
        group, _, folder = line[1:].rstrip("\n").partition(" ")
        if line.startswith("+"):
            living[int(group)] = folder
        else:
            living.pop(int(group), None)
    for number in living:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(number, signal.SIGKILL)
    for folder in filter(None, living.values()):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
