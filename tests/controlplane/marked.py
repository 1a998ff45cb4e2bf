"""Ends all that the tests started when they are gone, however they went: also what is no server of ours.

Each process that a test process starts has a variable of its environment, and so have those that it starts, in
whatever session. This file, run as a program with `python -I -S`, reads end of file when the test process is no more,
and looks for them in /proc.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

MARK = "KSPEC_TEST_PROCESS"
PASSES = 20  # a process that is found may be starting another one
ENDS_S = 10.0


def mark_all_that_is_started() -> None:
    """From now on, whatever this process starts ends with it, if it is given our environment."""
    os.environ[MARK] = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, f"{MARK}={os.environ[MARK]}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={},
        start_new_session=True,  # Ctrl-C in the terminal must not end it before the others
    )

    def end() -> None:
        """At a normal exit it does its work now; waited for, so that no warning comes of it."""
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=ENDS_S)

    atexit.register(end)


def end_marked(mark: str) -> int:
    """Kill the processes that have this in their environment; how many there were."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # another user's, or one that just ended
            if mark.encode() in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
                found += 1
    return found


def main() -> None:
    """Wait, then end them."""
    sys.stdin.read()
    for _ in range(PASSES):
        if not end_marked(sys.argv[1]):
            break


if __name__ == "__main__":
    main()
