"""A kind is served a moment after its CustomResourceDefinition was applied, and its endpoint after discovery has it."""

from __future__ import annotations

import time

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import KspecError

WAIT_S = 30.0


def wait_until_served(writer: Writer, api_version: str, kind: str) -> None:
    """Raises what a list of it raises, after the time."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            writer.list(api_version, kind)
            return
        except KspecError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)
