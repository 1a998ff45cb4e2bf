"""What a process costs, asked of the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """CPU seconds (user and system, children included) and peak resident memory in MB."""

    cpu_s: float
    memory_mb: float


def measure(command: list[str], folder: Path | None = None) -> Cost:
    """Run a command (in a folder) and ask the operating system what it cost."""
    # As installed: with bytecode on disk. Set, this variable would have every run compile everything.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the plugins of the development environment are not ours
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env, cwd=folder
    ) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1) or b"error" in errors:
        sys.exit(f"{' '.join(command)}: exit {process.returncode}\n{errors.decode()}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
