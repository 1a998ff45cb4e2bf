"""Keeps the namespaces of one node while its standard input is open, and removes all of it afterwards.

The test process holds the other end of the pipe: however it ends, the pipe ends with it. If this process is killed,
the kernel kills the namespaces (`setpriv --pdeathsig`, `unshare --kill-child`), and the next keeper removes the
cgroups. Runs with `python -I -S`. Arguments: a folder, which is removed; address of the node; process whose network it
shares, or 0.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from inside import CGROUPS, OWN_FOLDERS

PREFIX = "kspec-node-"
REMOVAL_S = 20.0


def remove_cgroups(name: str) -> None:
    """Deepest first; processes that were killed leave theirs a moment later."""
    found = [CGROUPS / name, *(path / name for path in CGROUPS.iterdir() if path.is_dir())]
    deadline = time.monotonic() + REMOVAL_S
    for top in (path for path in found if path.is_dir() and not path.parent.is_symlink()):
        for folder, _, _ in os.walk(top, topdown=False):
            while True:
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        break
                    time.sleep(0.05)
                else:
                    break


def remove_leftovers() -> None:
    """What keepers left that were killed."""
    hierarchies = [CGROUPS, *(path for path in CGROUPS.iterdir() if path.is_dir())]
    names = {path.name for top in hierarchies for path in top.glob(f"{PREFIX}*")}
    for name in names:
        if not Path("/proc", name.removeprefix(PREFIX)).exists():
            remove_cgroups(name)


def main() -> None:
    """Start, say `ready PID`, wait, remove."""
    folder, address, network = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # what follows `finally` is done
    name = f"{PREFIX}{os.getpid()}"
    remove_leftovers()
    made = []
    for path in OWN_FOLDERS:
        if not os.path.isdir(path):
            os.makedirs(path)
            made.append(path)
    here = Path(__file__)
    command = ["setpriv", "--pdeathsig", "KILL"]
    command += ["nsenter", f"--net=/proc/{network}/ns/net"] if network != "0" else []
    command += ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += [] if network != "0" else ["--net"]
    command += [sys.executable, "-I", "-S", str(here.with_name("inside.py")), name, folder, address]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() == "ready\n":
            sys.stdout.write(f"ready {holder.pid} {name}\n")
            sys.stdout.flush()
            sys.stdin.read()
    finally:
        holder.kill()
        holder.wait()
        remove_cgroups(name)
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            with contextlib.suppress(OSError):
                os.rmdir(path)


if __name__ == "__main__":
    main()
