"""Warnings decide nothing about a cluster.

A project may make warnings errors (`filterwarnings = error`, `-W error`), which is right for its tests. Below a check,
a library that will rename something would then be a requirement that could not be evaluated. So warnings stay warnings
there, and pytest lists them, unless a check itself says otherwise (`pytest.mark.filterwarnings`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

_THREAD = pytest.PytestUnhandledThreadExceptionWarning  # says that something failed: it stays what it is


@contextmanager
def only_shown(own: int = 0) -> Iterator[None]:
    """No warning is raised in here; own: how many of the filters, from the first on, stay as they are."""
    with warnings.catch_warnings():
        show(own)
        yield


def show(own: int = 0) -> None:
    """The same, from now on."""
    if any(entry[0] == "error" for entry in warnings.filters[own:]):
        made = list(warnings.filters[:own])
        for action, message, category, module, line in warnings.filters[own:]:
            if action == "error" and issubclass(_THREAD, category):
                made.append((action, message, _THREAD, module, line))
            made.append(("default" if action == "error" else action, message, category, module, line))
        warnings.resetwarnings()  # Python notes that they change
        cast("list[object]", warnings.filters)[:] = made
