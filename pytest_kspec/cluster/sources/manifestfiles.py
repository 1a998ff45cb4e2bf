"""Which files of a folder may hold Kubernetes objects, and what is said of the others.

Folders of real repositories hold charts, overlays, CI files and settings of tools beside manifests. What holds no
object is listed, never an error; what is meant to be a manifest and could not be read is an error, as everywhere else.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, BinaryIO, NamedTuple

from msgspec import Struct, field

from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.cluster.objects.kinds import builtin_types
from pytest_kspec.cluster.objects.yamldocs import yaml_documents
from pytest_kspec.errors import SourceError, SourceUnavailable
from pytest_kspec.kube.listing import Listing, few
from pytest_kspec.regexes import regex

SUFFIXES = (".yaml", ".yml", ".json")
OTHER_NAMES = regex(
    r"[^.]*|.*(~|\.(txt|tmpl|tpl|gotmpl|template|j2|jinja2?|erb|manifest|bak|orig|old|disabled|off|dist|example|sample))",
    re.IGNORECASE | re.DOTALL,
)
"""Names of files that may hold manifests, which kubectl does not read from a folder either."""
MAX_OTHERS_LOOKED_AT = 2000
_HEAD = 64 << 10
MAX_FILES = 50_000
MAX_STREAM_BYTES = 1 << 30
"""Of a pipe, whose size nobody knows before it ends."""
_PART = 1 << 20

_MMAP_FROM = 1 << 20
_SKIPPED_FOLDERS = frozenset({"node_modules"})
_NEVER_LISTED = frozenset({".git"})
_KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_KUSTOMIZE = "kustomize.config.k8s.io"
_CHART = "Chart.yaml"
_TEMPLATE = regex(rb"\{\{")
_API_VERSION = regex(rb"apiVersion")
_KIND = regex(rb"kind")
_UNUSUAL = regex(rb"[\\\x00]")  # a key may be written with escapes, or in UTF-16
_KEYS_OF_MANIFEST = (
    regex(rb"^[ \t\-{]*[\"']?apiVersion[\"']?[ \t]*:", re.MULTILINE),
    regex(rb"^[ \t\-{]*[\"']?kind[\"']?[ \t]*:", re.MULTILINE),
)
_IN_JSON = (regex(rb"\"apiVersion\"\s*:"), regex(rb"\"kind\"\s*:"))


class Note(NamedTuple):
    """What of a folder was not evaluated. hides: objects may be there, or change what is."""

    text: str
    hides: bool = True


class Folder(Struct):
    """What a folder of manifests holds.

    files:    those that may hold objects, sorted
    others:   files that hold none
    skipped:  hidden files and folders, links to folders and node_modules: not searched
    charts:   folders of Helm charts whose templates are not rendered
    overlays: folders with a kustomization
    patches:  files that a kustomization reads for another purpose than as objects
    unread:   files with another suffix that look like manifests
    not_looked_at: how many more may do so
    """

    path: str
    files: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    charts: set[str] = field(default_factory=set)
    overlays: set[str] = field(default_factory=set)
    patches: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    not_looked_at: int = 0

    def overlay_of(self, path: str) -> str:
        """The folder of the kustomization that is nearest above a file, or ""."""
        folder = os.path.dirname(path)
        while folder not in self.overlays:
            above = os.path.dirname(folder)
            if above == folder or len(above) < len(self.path.rstrip(os.sep)):
                return ""
            folder = above
        return folder

    def leaves_out(self, path: str, raw: Buffer) -> bool:
        """Whether a file holds no objects of its own; it is noted then."""
        if os.path.normpath(path) in self.patches:
            return True
        if os.path.basename(path) in _KUSTOMIZATIONS:  # kubectl apply -f takes it for a manifest
            return not any(str(data.get("kind")) in builtin_kinds() for data in _kustomization(path))
        chart = _chart_of(path)
        if chart and _TEMPLATE.search(raw):
            self.charts.add(chart)
            return True
        big = len(raw) >= _MMAP_FROM  # too big to be parsed for nothing
        if big and not _UNUSUAL.search(raw) and not (_API_VERSION.search(raw) and _KIND.search(raw)):
            self.others.append(path)
            return True
        return False

    def notes(self) -> Iterator[Note]:
        """What was not evaluated, and what to do; one sentence or two for each reason."""
        if self.charts:
            charts = sorted(self.charts)
            text = (
                f"Helm charts are not rendered: {few(charts)}. "
                f"Run: helm template {charts[0]} | kspec scan SPEC --cluster -"
            )
            yield Note(Listing(text, charts))
        if self.overlays:
            overlays = sorted(self.overlays)
            are = "file is a patch or source" if len(self.patches) == 1 else "files are patches or sources"
            patches = f"; {len(self.patches)} {are} of these" if self.patches else ""
            text = (
                f"kustomizations are not built, so their changes are not evaluated: {few(overlays)}{patches}. "
                f"Run: kustomize build {overlays[-1]} | kspec scan SPEC --cluster -"
            )
            yield Note(Listing(text, (*overlays, *self._short(self.patches))))
        if self.others:
            are = "file contains" if len(self.others) == 1 else "files contain"
            short = self._short(self.others)
            text = f"{len(self.others)} {are} no Kubernetes objects: {few(short)}"
            yield Note(Listing(text, short), hides=False)
        if self.unread:
            are = (
                "file looks like a manifest and is"
                if len(self.unread) == 1
                else "files look like manifests and are"
            )
            short = self._short(self.unread)
            text = f"{len(self.unread)} {are} not read, only {', '.join(SUFFIXES)} are: {few(short)}"
            yield Note(Listing(text, short))
        if self.not_looked_at:
            searched = f"only the first {MAX_OTHERS_LOOKED_AT} files without the suffix {', '.join(SUFFIXES)}"
            yield Note(f"{searched} were searched for manifests; {self.not_looked_at} more were not")
        if self.skipped:
            short = self._short(self.skipped)
            text = f"not searched (hidden, linked folders, node_modules): {few(short)}"
            yield Note(Listing(text, short))

    def _short(self, paths: Iterable[str]) -> list[str]:
        return sorted(os.path.relpath(path, self.path) for path in paths)


def walk(path: str) -> Folder:
    """The files below a folder. Links to files are followed, links to folders are not, as with kubectl.

    Raises SourceUnavailable where a folder could not be read, or holds more than MAX_FILES files.
    """
    found = Folder(path)
    others: list[str] = []

    def fail(error: OSError) -> None:
        raise unreadable(error, str(error.filename)) from error

    for folder, folders, names in os.walk(path, onerror=fail):
        kept = []
        for name in sorted(folders):
            below = os.path.join(folder, name)
            if name.startswith(".") or name in _SKIPPED_FOLDERS or os.path.islink(below):
                found.skipped += [below] if name not in _NEVER_LISTED else []
            else:
                kept.append(name)
        folders[:] = kept
        for name in names:
            below = os.path.join(folder, name)
            if name in _KUSTOMIZATIONS:
                found.overlays.add(folder)
                found.files.append(below)
            elif name.lower().endswith(SUFFIXES):
                (found.skipped if name.startswith(".") else found.files).append(below)
            elif not name.startswith(".") and OTHER_NAMES.fullmatch(name):
                if len(others) < MAX_OTHERS_LOOKED_AT:
                    others.append(below)
                else:
                    found.not_looked_at += 1
        if len(found.files) > MAX_FILES:
            raise SourceUnavailable(
                f"the folder contains more than {MAX_FILES} YAML and JSON files.",
                where=path,
                fix="Name the folder of the manifests.",
            )
    _drop_links(found)
    found.unread = [other for other in others if _is_manifest(other) and not _chart_of(other)]
    resources: set[str] = set()
    for file in found.files:
        if os.path.basename(file) in _KUSTOMIZATIONS:
            for data in _kustomization(file):
                found.patches.update(_paths(file, _names_in(data)))
                resources.update(_paths(file, _list(data.get("resources"))))
    found.patches -= resources  # read as both, it holds objects too
    found.unread = [other for other in found.unread if os.path.normpath(other) not in found.patches]
    return found


def _is_manifest(path: str) -> bool:
    """Whether the beginning of a file of any name reads like a manifest. What cannot be read does not."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return looks_like_manifest(head, json=head.lstrip()[:1] in (b"{", b"["))


def _drop_links(folder: Folder) -> None:
    """Sort the files, and leave out links to files that are there themselves: one file is one file."""
    links = [file for file in folder.files if os.path.islink(file)]
    known = {os.path.realpath(file) for file in set(folder.files).difference(links)} if links else set()
    again = set()
    for link in sorted(links):
        target = os.path.realpath(link)
        if target in known:
            again.add(link)
        known.add(target)
    folder.files = sorted(set(folder.files) - again)


def _kustomization(path: str) -> list[dict[Any, Any]]:
    try:
        documents = [document.data for document in yaml_documents(bytes(read(path)), path)]
    except SourceError:
        return []  # `leaves_out` leaves it to kustomize to say what is wrong
    return [data for data in documents if isinstance(data, dict)]


def _paths(kustomization: str, names: Iterable[Any]) -> Iterator[str]:
    for name in names:
        if isinstance(name, str) and "\n" not in name:
            yield os.path.normpath(os.path.join(os.path.dirname(kustomization), name))


def _names_in(data: dict[Any, Any]) -> Iterator[Any]:
    """Files that a kustomization reads as patches, transformers or data."""
    for key in (
        "patchesStrategicMerge",
        "transformers",
        "generators",
        "validators",
        "configurations",
        "crds",
    ):
        yield from _list(data.get(key))
    for key in ("patches", "patchesJson6902", "replacements"):
        yield from (entry.get("path") for entry in _list(data.get(key)) if isinstance(entry, dict))
    for key in ("configMapGenerator", "secretGenerator"):
        for entry in _list(data.get(key)):
            for name in _list(entry.get("files")) if isinstance(entry, dict) else ():
                yield name.rpartition("=")[2] if isinstance(name, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _chart_of(path: str) -> str:
    """The folder of the Helm chart that a file is a template of, or ""."""
    parts = os.path.abspath(path).split(os.sep)
    for index in range(len(parts) - 2, 0, -1):
        if parts[index] == "templates" and os.path.exists(os.sep.join((*parts[:index], _CHART))):
            chart = os.sep.join(parts[:index])
            relative = os.path.relpath(chart)
            return chart if relative.startswith("..") else relative
    return ""


def is_kustomization(api_version: str) -> bool:
    """Whether an object is one of kustomize's own files, which no cluster knows."""
    return api_version.partition("/")[0] == _KUSTOMIZE


@cache
def builtin_kinds() -> frozenset[str]:
    """Kubernetes' own kinds, and the kind of any list."""
    return frozenset((*(known.kind for known in builtin_types()), "List"))


def is_object(data: Any) -> bool:
    """Whether a document of a folder is meant to be a Kubernetes object, good or bad.

    Chart.yaml has an apiVersion, files of other tools have a `kind` or `metadata`: two of these keys make an object.
    """
    if not isinstance(data, dict):
        return False
    kind = data.get("kind")
    if isinstance(kind, str) and kind in builtin_kinds():
        return True
    return sum(data.get(key) is not None for key in ("apiVersion", "kind", "metadata", "spec", "items")) > 1


def looks_like_manifest(raw: Buffer, *, json: bool) -> bool:
    """Whether text that cannot be parsed was meant to be a manifest; of text in UTF-16 nobody can say."""
    if b"\0" in bytes(raw[:4]) or bytes(raw[:2]) in (b"\xff\xfe", b"\xfe\xff"):
        return True
    return all(pattern.search(raw) for pattern in (_IN_JSON if json else _KEYS_OF_MANIFEST))


def read(path: str, *, stream: bool = False) -> Buffer:
    """The bytes of a file. stream: it may be a pipe. Raises SourceUnavailable."""
    try:
        if not stream and not stat.S_ISREG(os.stat(path).st_mode):
            raise SourceUnavailable("this is neither a file nor a folder.", where=path)
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size >= _MMAP_FROM:
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            content = read_all(file)
    except (OSError, ValueError) as error:
        raise unreadable(error, path) from error
    return bounded(content, path)


def read_all(file: BinaryIO) -> bytes:
    """All of a stream, up to one byte more than the bound, in parts: `read` takes the memory of what it may read."""
    parts: list[bytes] = []
    left = MAX_STREAM_BYTES + 1
    while left and (part := file.read(min(left, _PART))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def bounded(content: bytes, path: str) -> bytes:
    """What came from a pipe. Raises SourceUnavailable where it is too much."""
    if len(content) > MAX_STREAM_BYTES:
        raise SourceUnavailable(
            f"the pipe contains more than {MAX_STREAM_BYTES >> 30} GiB.", where=path, fix="Save it to a file."
        )
    return content


def unreadable(error: OSError | ValueError, path: str) -> SourceUnavailable:
    """The error of the system, with the path."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceUnavailable(f"could not be read: {reason}.", where=path)
