"""The files of an order, carried in the run: a worker in a pod has no other.

They keep their places relative to each other, so that a specification finds its bases, keys and checks as it did.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pytest_kspec.errors import UsageError
from pytest_kspec.files import write_whole
from pytest_kspec.fleet.runs import Order
from pytest_kspec.spec.below import files_below
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import TEMPLATE, find_specs, load_spec

LARGEST = 4 << 20
"""Bytes of all files of an order together."""
MOST_FILES = 1000


def pack(order: Order) -> Order:
    """The order with its files, and with paths in the folder that `unpack` makes. Raises UsageError, SpecError."""
    templates = [spec for spec in order.specs if spec.startswith(TEMPLATE)]
    specs = find_specs([spec for spec in order.specs if not spec.startswith(TEMPLATE)]) if order.specs else []
    library = Library(tuple(specs))
    loaded = [load_spec(path, library) for path in specs]
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parts = {os.path.abspath(file) for spec in loaded for file in spec.files}
    wanted = {file for file in parts if not file.startswith(ours + os.sep)}
    checks = [*order.checks, *(os.path.abspath(path) for spec in loaded for path in spec.checks)]
    for path in (*checks, *order.exemptions, *filter(None, [order.baseline])):
        wanted |= set(_files(path))
    if not wanted:
        return order
    root = os.path.commonpath([os.path.dirname(file) for file in wanted])
    files: dict[str, str] = {}
    size = 0
    for file in sorted(wanted):
        try:
            content = Path(file).read_bytes()
        except OSError as error:
            raise UsageError(f"could not be read: {error.strerror}.", where=file) from error
        size += len(content)
        if size > LARGEST or len(files) >= MOST_FILES:
            raise UsageError(
                f"the files of this run are more than {LARGEST >> 20} MiB or {MOST_FILES:,} files.",
                where=file,
                fix="Name the files of checks and not a whole folder, or build them into the image.",
            )
        files[os.path.relpath(file, root)] = base64.b64encode(content).decode()

    def inside(path: str) -> str:
        return os.path.relpath(os.path.abspath(path), root)

    return replace(
        order,
        specs=(*templates, *(inside(str(path)) for path in specs)),
        checks=tuple(map(inside, order.checks)),
        exemptions=tuple(map(inside, order.exemptions)),
        baseline=inside(order.baseline) if order.baseline else "",
        files=files,
    )


def unpack(order: Order, folder: Path) -> None:
    """Write the files of an order below a folder. Raises UsageError for a name that leads out of it."""
    for name, content in order.files.items():
        parts = Path(name).parts
        if not parts or os.path.isabs(name) or ".." in parts:
            raise UsageError(
                "a file of the run has a name that refers to a place outside of its folder.", where=name
            )
        try:
            found = base64.b64decode(content, validate=True)
        except ValueError as error:
            raise UsageError("a file of the run is not in base64.", where=name) from error
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, found)


def _files(path: str) -> Iterable[str]:
    """A file, or those of a folder; what begins with a dot or is compiled is left out."""
    if not os.path.isdir(path):
        yield os.path.abspath(path)
        return
    for file in files_below(path, enter=lambda name: not name.startswith(".") and name != "__pycache__"):
        if not file.name.startswith("."):
            yield os.path.abspath(file)
