"""Kill the servers when the test process is gone, however it went.

`atexit` does not run after SIGKILL, and a death signal (`PR_SET_PDEATHSIG`) is Linux only and fires when the
*thread* that started the server ends. A pipe has neither problem: this script, started once a test process,
holds the reading end, and reads end of file as soon as the test process is no more.

Each line is `+<process group> <folder to remove>` or `-<process group>`. Runs with `python -I -S`: standard
library only, no import of the project.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(number, signal.SIGKILL)
    for folder in living.values():
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
