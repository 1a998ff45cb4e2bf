"""From a result to the files that it rests on: found by what the result says of itself, believed by their digests.

Specifications, exemptions and checks keep their places relative to each other, so that a specification finds in the
bundle what it found on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pytest_kspec.cluster.recording.record import write_archive
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.cluster.sources.snapshotfile import ARCHIVES, INDEX
from pytest_kspec.errors import SourceUnavailable, UsageError
from pytest_kspec.evidence.manifest import RESULT, Replay
from pytest_kspec.evidence.pack import Content
from pytest_kspec.results import annotated
from pytest_kspec.results.exemptions import load_exemptions
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.spec.below import files_below
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, is_template, load_spec

SPECS = (".yaml", ".yml")
_MOVED = "It was changed or moved since the scan: scan again, or name the right one with {}."


@dataclass
class Gathered:
    """contents: name in the bundle → file; the rest as in the manifest."""

    contents: dict[str, Content]
    replays: list[Replay] = field(default_factory=list)
    exemptions: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    baseline: str = ""
    places: dict[str, str] = field(default_factory=dict)


def gather(
    result: ScanResult,
    raw: bytes,
    *,
    specs: Sequence[str] = (),
    snapshots: Sequence[str] = (),
    exemptions: Sequence[str] = (),
    checks: Sequence[str] = (),
    baseline: str = "",
    scratch: Path,
) -> Gathered:
    """Everything for one bundle. What is not given is where the result says that it was.

    raw: the JSON report; scratch: a folder for snapshots that must be packed first.
    Raises UsageError where something is missing or is not what was scanned, SpecError, SourceError.
    """
    if result.trend:
        raise UsageError(
            "the result contains the trend of earlier runs, which a bundle cannot prove.",
            where="--from",
            fix="Bundle the report that was written by the scan.",
        )
    if not result.clusters:
        raise UsageError("the result contains no cluster, so there is nothing to prove.", where="--from")
    loaded = _specs(result, specs)
    spec_files = {
        os.path.abspath(file) for spec in loaded for file in spec.files if not _part_of_the_tool(file)
    }
    exempting = [os.path.abspath(path) for path in exemptions or _exemption_files(result, spec_files)]
    given = [os.path.abspath(path) for path in checks]
    asked = [os.path.abspath(path) for spec in loaded for path in spec.checks]
    modules = {file for path in (*given, *asked) for file in _modules(Path(path))}
    known = _baseline_file(result, baseline)
    root = _common(
        {*spec_files, *exempting, *modules, *known, *(f"{path}/x" for path in given if os.path.isdir(path))}
    )
    found = Gathered({RESULT: Content("result", raw)})
    name = partial(_inside, root)
    for path in sorted(spec_files):
        found.contents[name(path)] = Content("spec" if path.endswith(SPECS) else "key", Path(path))
    found.contents |= {name(path): Content("exemptions", Path(path)) for path in sorted(exempting)}
    found.contents |= {name(path): Content("check", Path(path)) for path in sorted(modules)}
    for path in known:
        found.baseline = name(path)
        found.contents[found.baseline] = Content("baseline", Path(path))
        found.places.update((c.baseline.path, found.baseline) for c in result.clusters if c.baseline)
    found.exemptions = sorted(map(name, exempting))
    found.checks = sorted(map(name, given))
    _add_replays(found, result, loaded, _Snapshots(snapshots, scratch), name)
    for path, file in _exemption_places(result, exempting):
        found.places.setdefault(path, name(file))
    return found


def _inside(root: str, path: str) -> str:
    """The name of a file in the bundle."""
    return "files/" + os.path.relpath(path, root).replace(os.sep, "/")


def _add_replays(
    found: Gathered,
    result: ScanResult,
    loaded: Sequence[LoadedSpec],
    archives: _Snapshots,
    name: Callable[[str], str],
) -> None:
    """How each cluster can be scanned again: with which specification, and with its snapshot where there is one."""
    for cluster in result.clusters:
        spec = _match(cluster, loaded)
        archive, reason = archives.find(cluster)
        inside = ""
        if archive is not None:
            inside = f"snapshots/{cluster.evidence.snapshot_sha256[:16]}.tar.gz"
            found.contents[inside] = Content("snapshot", archive)
        replay = Replay(cluster.name, cluster.spec_path, name(os.path.abspath(spec.path)), inside, reason)
        found.replays.append(replay)
        found.places.update(_spec_places(cluster, spec, name))


def _specs(result: ScanResult, given: Sequence[str]) -> list[LoadedSpec]:
    paths = [Path(path) for path in given or dict.fromkeys(c.spec_path for c in result.clusters)]
    for path in paths:
        if is_template(path):
            raise UsageError(
                "a bundle must contain a specification file.",
                where=str(path),
                fix="Scan with a specification that has this policyTemplate.",
            )
    return [load_spec(path, Library(tuple(paths))) for path in paths]


def _match(cluster: ClusterResult, loaded: Iterable[LoadedSpec]) -> LoadedSpec:
    """The specification that this cluster was checked with, by digest."""
    digest = cluster.evidence.spec_sha256
    if not digest:
        raise UsageError(
            f"the result does not name the specification with which '{cluster.name}' was checked.",
            where="--from",
            fix="Scan again with this version; specifications must be files.",
        )
    for spec in loaded:
        if spec.sha256 == digest:
            return spec
    raise UsageError(
        "this is not the specification of the scan: its SHA-256 differs.",
        where=cluster.spec_path,
        fix=_MOVED.format("--spec"),
    )


def _exemption_files(result: ScanResult, spec_files: set[str]) -> Iterator[str]:
    """Those that exemptions of the result come from, beside the specifications."""
    seen: dict[str, None] = {}
    for cluster in result.clusters:
        for use in cluster.exemptions:
            path = use.location.rsplit(":", 2)[0]
            if use.name.startswith(annotated.NAME):
                continue  # it stands on an object of the snapshot
            if path and not _part_of_the_tool(path) and os.path.abspath(path) not in spec_files:
                seen[path] = None
    for path in seen:
        if not os.path.isfile(path):
            raise UsageError(
                "the exemptions file does not exist.", where=path, fix=_MOVED.format("--exemptions")
            )
        yield path


def _baseline_file(result: ScanResult, given: str) -> list[str]:
    """The one that the result was made with, if it was."""
    named = {cluster.baseline.path for cluster in result.clusters if cluster.baseline is not None}
    if not named:
        return []
    path = given or min(named)
    if not os.path.isfile(path):
        raise UsageError("the baseline does not exist.", where=path, fix=_MOVED.format("--baseline"))
    return [os.path.abspath(path)]


def _spec_places(
    cluster: ClusterResult, spec: LoadedSpec, name: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """Where the result says that the files of a specification were → where they are in the bundle."""
    there, here = os.path.dirname(cluster.spec_path), os.path.dirname(os.path.abspath(spec.path))
    for file in spec.files:
        if not _part_of_the_tool(file):
            yield (
                os.path.normpath(os.path.join(there, os.path.relpath(file, here))),
                name(os.path.abspath(file)),
            )
            yield os.path.normpath(file), name(os.path.abspath(file))
    yield os.path.normpath(cluster.spec_path), name(os.path.abspath(spec.path))


def _exemption_places(result: ScanResult, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Where the result says that exemptions are written → the file that has one of this name."""
    by_name = {exemption.name: file for file in files for exemption in load_exemptions(file)}
    for cluster in result.clusters:
        for use in cluster.exemptions:
            path = use.location.rsplit(":", 2)[0]
            if path and use.name in by_name:
                yield os.path.normpath(path), by_name[use.name]


def _part_of_the_tool(path: str) -> bool:
    """Built-in templates come with the version that the bundle names; `<name>` is what their places are called."""
    return path.startswith("<")


def _modules(path: Path) -> Iterator[str]:
    """A check module, or the Python files of a folder of them, helpers and conftest.py included: all that may run."""
    if os.path.isdir(path):
        yield from (str(file) for file in files_below(path) if file.suffix == ".py")
        return
    if not os.path.isfile(path):
        raise UsageError("the file or folder of checks does not exist.", where=str(path))
    yield str(path)


def _common(paths: set[str]) -> str:
    return os.path.commonpath([os.path.dirname(path) for path in paths])


class _Snapshots:
    """The snapshots as archives, by digest."""

    def __init__(self, given: Sequence[str], scratch: Path) -> None:
        self._given = given
        self._scratch = scratch
        self._known: dict[str, Path] = {}

    def find(self, cluster: ClusterResult) -> tuple[Path | None, str]:
        """(archive, "") or (None, why the result cannot be replayed)."""
        digest = cluster.evidence.snapshot_sha256
        if not digest:
            return None, f"it was a scan of a source of kind {cluster.source}, which is not recorded"
        if digest not in self._known:
            for ref in self._given or (cluster.evidence.source_ref,):
                self._add(ref)
        if digest not in self._known:
            raise UsageError(
                f"this is not the snapshot of '{cluster.name}' that was scanned: its SHA-256 differs.",
                where=", ".join(self._given) or cluster.evidence.source_ref,
                fix=_MOVED.format("--snapshot"),
            )
        return self._known[digest], ""

    def _add(self, ref: str) -> None:
        if os.path.basename(ref) == INDEX:
            ref = os.path.dirname(ref) or "."
        source = SnapshotSource(ref)
        digest = source.sha256
        if ref.endswith(ARCHIVES):
            self._known[digest] = Path(ref)
            return
        packed = self._scratch / f"{digest}.tar.gz"
        try:
            with packed.open("wb") as out:
                write_archive(Path(ref), [INDEX, *source.recorded().files], out, "snapshot")
        except OSError as error:
            raise SourceUnavailable(f"cannot be packed: {error.strerror or error}.", where=ref) from error
        self._known[digest] = packed
