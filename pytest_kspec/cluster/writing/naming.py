"""Creating objects whose names others may have taken: none takes the place of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import Conflict
from pytest_kspec.kube.objectnames import not_taken

_TRIES = 20


def create_named(writer: Writer, obj: Mapping[str, Any], taken: Iterable[str]) -> str:
    """Create an object under its name, or as `NAME-2` and so on where that is taken. Returns its name.

    taken: names that are known to be taken; the API server knows the others. Raises SourceError; Conflict where all
    that were tried are taken.
    """
    wanted, known = obj["metadata"]["name"], set(taken)
    for attempt in range(_TRIES):
        name = not_taken(wanted, known)
        try:
            writer.create({**obj, "metadata": {**obj["metadata"], "name": name}})
        except Conflict:
            if attempt + 1 == _TRIES:
                raise
            known.add(name)
            continue
        return name
    raise AssertionError
