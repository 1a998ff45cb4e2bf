"""Which processes wait: one that sleeps is found to, and nothing is said of one that is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_kspec.fleet.effort import Effort
from tests.webhook.running import until

PROGRAM = """
import sys, time
sys.stdin.readline()
while time.process_time() < 3600:
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell it: none is idle there")
def test_a_process_that_waits_is_idle_after_a_while_and_until_it_works() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE) as process:
        try:
            effort = Effort(idle_s=0.5)
            assert effort.idle([process.pid]) == set(), "it was not looked at for long enough"
            until(lambda: effort.idle([process.pid]) == {process.pid})
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            until(lambda: effort.idle([process.pid]) == set())
        finally:
            process.kill()
    assert effort.idle([process.pid]) == set()
