"""The system's Chromium, for tests, benchmarks and pictures of reports."""

from __future__ import annotations

import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "Chromium is missing; install it, for example with: apt-get install -y chromium"


def chromium() -> str:
    """Its path. Raises FileNotFoundError that says how to get it."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise FileNotFoundError(MISSING)
    return path
