"""Where manifests are, in a way that is the same on each machine: what tells two folders of one name apart."""

from __future__ import annotations

import os
from pathlib import Path

STATED = "="
"""The user named them: whatever path they are at, they are what is called so."""


def origin_of(path: str) -> str:
    """The path as from the root of its Git repository, else as from the working directory; "" outside of both."""
    full = Path(os.path.abspath(path))
    for folder in (full, *full.parents):
        if (folder / ".git").exists():
            return full.relative_to(folder).as_posix()
    working = Path.cwd()
    return full.relative_to(working).as_posix() if full.is_relative_to(working) else ""
