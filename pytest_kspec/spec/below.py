"""Files of folders that users name: all of them, or an error. What cannot be looked into may hold what is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_kspec.errors import UsageError


def files_below(folder: str | Path, *, enter: Callable[[str], bool] = lambda name: True) -> Iterator[Path]:
    """The files of a folder and of those below it, in order; links to folders are not followed.

    enter: whether a folder of this name is looked into. Raises UsageError where one cannot be read.
    """

    def fail(error: OSError) -> None:
        raise UsageError(
            f"the folder could not be read: {error.strerror}.",
            where=str(error.filename),
            fix="Make it readable, or name the files.",
        ) from error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(filter(enter, folders))
        for name in sorted(names):
            yield Path(place, name)
