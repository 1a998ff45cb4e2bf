"""Manifests as a cluster: a file, a folder or standard input; YAML, JSON, lists, `kubectl get -o json`
output.

JSON stays raw: a list of one kind is handed on as the bytes of its file, whatever its size. What manifests
cannot have (a version, nodes' state) is not there: `info().version` is "". A kind that no file holds is an
empty list.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.cluster.objects.decode import Decoder, PodPage
from pytest_kspec.cluster.sources.manifestfiles import (
    Note,
    bounded,
    read,
    read_all,
    walk,
)
from pytest_kspec.cluster.sources.manifestobjects import DEFAULT, Held
from pytest_kspec.cluster.sources.origin import STATED, origin_of
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.kube.resources import ClusterInfo, ResourceType

STDIN = "-"


class ManifestSource:
    """Manifests at a path, or on standard input. name: as the user named them, else the file's or folder's name."""

    kind = "manifests"

    def __init__(self, path: str, *, name: str = "", stdin: bytes | None = None) -> None:
        self.ref = f"{name}={path}" if name else path
        self._path = path
        self.name = name or ("stdin" if path == STDIN else Path(path).name or Path(path).resolve().name)
        self._is_named = bool(name)
        self._stdin = stdin
        self._held: Held | None = None
        self.decoder = Decoder(self.name, DEFAULT)

    @property
    def origin(self) -> str:
        """What tells them apart from others of their name (`origin`); "" where nothing does."""
        if self._is_named:
            return STATED
        return "" if self._path == STDIN else origin_of(self._path)

    def info(self) -> ClusterInfo:
        """A name, and the namespaces that objects are in: manifests have no version and no UID."""
        return ClusterInfo(self.name, self.kind, namespaces=self._load().namespaces())

    def types(self) -> Sequence[ResourceType]:
        """The kinds that the files hold. Raises SourceUnavailable where a file could not be read."""
        return tuple(self._load().types.values())

    def pages(self, resource_type: ResourceType) -> Iterator[Buffer]:
        """The objects of one kind, a page for each big list, one for all that is small."""
        for page in self.decoded_pages(resource_type):
            yield page.buffer if isinstance(page, PodPage) else page

    def decoded_pages(self, resource_type: ResourceType) -> Iterator[Buffer | PodPage]:
        """As `pages`, with what had to be decoded already to see which kinds there are."""
        held = self._load()
        key = (resource_type.group, resource_type.kind)
        yield from held.pages.get(key, ())
        if objects := held.objects.get(key):
            yield b"[" + b",".join(objects) + b"]"

    def close(self) -> None:
        """Let go of what was read."""
        self._held = None
        self.decoder = Decoder(self.name, DEFAULT)

    def notes(self) -> Sequence[Note]:
        """What of a folder was not evaluated, and why: templates that are not rendered, files without objects."""
        return self._load().notes

    def _load(self) -> Held:
        if self._held is None:
            if self._path != STDIN and os.path.isdir(self._path):
                held = Held(self.decoder, walk(self._path))
                held.add_folder()
            else:
                held = Held(self.decoder)
                if self._path == STDIN:
                    held.add_file(_read_stdin() if self._stdin is None else self._stdin, "stdin")
                else:
                    held.add_file(read(self._path, stream=True), self._path)
            if not held.types and not held.empty_list:
                notes = "; ".join(note.text for note in held.notes)
                raise SourceUnavailable(
                    f"no Kubernetes objects found{f': {notes}' if notes else ''}.",
                    where=self._path,
                    fix="Use a file or folder of manifests (.yaml, .yml, .json).",
                )
            held.loaded()
            self._held = held
        return self._held


def _read_stdin() -> bytes:
    if "PYTEST_XDIST_WORKER" in os.environ:
        raise SourceUnavailable(
            "standard input cannot be read by several workers.",
            where="stdin",
            fix="Save it to a file, or use -n 0.",
        )
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceUnavailable("nothing is piped into standard input.", where="stdin")
    try:
        content = read_all(sys.stdin.buffer)
    except (OSError, ValueError, AttributeError) as error:
        raise SourceUnavailable(
            "standard input could not be read.",
            where="stdin",
            fix="With pytest, add -s, or save it to a file.",
        ) from error
    return bounded(content, "stdin")


def open_manifests(path: str, *, kubeconfig: str | None = None) -> ManifestSource:
    """A file or folder, or "-" for standard input."""
    return ManifestSource(path)
