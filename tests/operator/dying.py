"""`kspec operator`, killed at one point of one reconcile: argv NAME NUMBER before|after, then the words of the command.

Before or after its write of this number, on a real API server. Other specifications than NAME wait.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.operator.reconcile import Reconciler


def arm(name: str, number: int, where: str) -> None:
    """The process ends at that write."""
    left = [number]
    send, reconcile = Writer._write, Reconciler.reconcile

    def write(self: Writer, *arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and where == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(self, *arguments, **options)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def only(self: Reconciler, key: tuple[str, str]) -> float | None:
        if key[1] != name:
            return 3600.0
        Writer._write = write  # type: ignore[method-assign]
        try:
            return reconcile(self, key)
        finally:
            os._exit(7)  # there were fewer writes

    Reconciler.reconcile = only  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    sys.argv[1:4] = []
    main()
