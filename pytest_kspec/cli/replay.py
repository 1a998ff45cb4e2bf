"""The replay of `kspec verify`: the scan of a bundle once more, and everything in its result compared with it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest_kspec
from pytest_kspec.cli.output import note, say, style
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED, KspecError, UsageError
from pytest_kspec.evidence import compare, document
from pytest_kspec.evidence.manifest import MANIFEST, RESULT, Manifest
from pytest_kspec.results.moments import moment
from pytest_kspec.results.result import ClusterResult, ScanResult

SHOWN = 50
CLOCK_SKEW = timedelta(minutes=5)
"""By which clocks of the machines that record, scan and verify may differ."""
_Pair = tuple[str, str]  # name of a cluster, path of a specification


def replay(
    manifest: Manifest, recorded: Mapping[str, Any], folder: Path, where: str, *, run_checks: bool
) -> int:
    """Scan again and say what differs; the exit code.

    recorded: the result as plain data, which may hold anything; folder: of the unpacked bundle; where: of the bundle
    """
    try:
        used, has_code = _used(manifest, folder)
        moment = _moment(recorded)
    except KspecError as error:
        return _refused(str(error))
    if has_code and not run_checks:
        return _refused(
            "the bundle contains your own checks, which are code. Review them, then add --run-checks."
        )
    found = [
        f"{name}: is in the bundle, but nothing refers to it" for name in manifest.files if name not in used
    ]
    found += _other_bundle(manifest, recorded)
    found += _impossible_times(recorded, moment)
    again, refused = _scan_all(manifest, folder, moment, _moments(recorded, moment), run_checks)
    if not again and not refused:
        found.append("clusters: the bundle contains no result of any cluster, so there is nothing to verify")
    kept, unread = _recorded(recorded, refused)
    found += unread
    document_again = _document(recorded, [*again, *kept], where)
    titles = {_pair(entry): _title(entry) for entry in _clusters(recorded)}
    for pair, why in refused.items():
        _refused(f"{titles.get(pair, pair[0])}: {why}")
    found += compare.differences(
        _without(recorded, refused), _without(document_again, refused), manifest.places
    )
    another = _another_version(manifest, recorded)
    if found:
        _say_differences(found)
    else:
        for cluster in again:
            _say_same(cluster)
    if another:
        return _refused(another)
    return EXIT_FINDINGS if found else EXIT_NOT_EVALUATED if refused else 0


def _moment(recorded: Mapping[str, Any]) -> datetime:
    if started := moment(recorded.get("startedAt")):
        return started
    raise UsageError(f"startedAt: {compare.shown(recorded.get('startedAt'))} is not an RFC 3339 time.")


def _moments(recorded: Mapping[str, Any], started: datetime) -> dict[_Pair, datetime]:
    """As of when each is judged. Nothing was scanned before it was recorded: a scan that says an earlier time, be it a
    slow clock or a lie that revives what expired, is judged as of the recording.
    """
    found = {}
    for entry in _clusters(recorded):
        evidence = entry.get("evidence") if isinstance(entry, dict) else None
        made = moment(evidence.get("recordedAt")) if isinstance(evidence, dict) else None
        found[_pair(entry)] = max(started, made or started)
    return found


def _used(manifest: Manifest, folder: Path) -> tuple[set[str], bool]:
    """Files of the bundle that a replay uses, and whether checks are asked for that are not built in.

    A specification may name files: those of the bundle only, never those of this machine.
    Raises UsageError, SpecError.
    """
    from pytest_kspec.spec.effective import Library
    from pytest_kspec.spec.loading import load_spec

    inside = folder.resolve()
    specs = sorted({one.spec for one in manifest.replays})
    used = {RESULT, manifest.baseline, *manifest.exemptions, *specs}
    used.update(one.snapshot for one in manifest.replays)
    modules = [inside / name for name in manifest.checks]
    with contextlib.chdir(folder):
        for name in specs:
            spec = load_spec(name, Library(tuple(map(Path, specs))))
            files = [Path(file).resolve() for file in spec.files if not file.startswith("<")]
            checks = [Path(path).resolve() for path in spec.checks]
            if not all(path.is_relative_to(inside) for path in (*files, *checks)):
                raise UsageError("it refers to a file outside of the bundle.", where=name)
            used.update(path.relative_to(inside).as_posix() for path in files)
            modules += checks
    code = [name for name, file in manifest.files.items() if file.role == "check"]
    used.update(name for name in code if _is_of_check(inside / name, modules))
    return used, bool(modules or code)


def _is_of_check(file: Path, modules: list[Path]) -> bool:
    """A named module or what is in a named folder, and the conftest.py beside a module."""
    return any(
        file.is_relative_to(module) or (file.name == "conftest.py" and file.parent == module.parent)
        for module in modules
    )


def _other_bundle(manifest: Manifest, recorded: Mapping[str, Any]) -> Iterator[str]:
    tool = recorded.get("tool")
    version = tool.get("version") if isinstance(tool, dict) else None
    if manifest.tool != f"pytest-kspec {version}":
        yield (
            f"tool.version: the result has {compare.shown(version)}, the bundle was made by "
            f"{compare.shown(manifest.tool)}"
        )
    if manifest.finished_at != recorded.get("finishedAt"):
        yield (
            f"finishedAt: the result has {compare.shown(recorded.get('finishedAt'))}, the bundle "
            f"{compare.shown(manifest.finished_at)}"
        )
    scanned = {_pair(entry) for entry in _clusters(recorded)}
    for one in manifest.replays:
        if (one.cluster, one.spec_path) not in scanned:
            yield (
                f"{MANIFEST}: names the cluster {compare.shown(one.cluster)} with {compare.shown(one.spec_path)}, "
                "which the result does not have"
            )


def _impossible_times(recorded: Mapping[str, Any], started: datetime) -> Iterator[str]:
    finished = moment(recorded.get("finishedAt"))
    if finished and finished < started:
        yield f"finishedAt: {compare.shown(recorded['finishedAt'])} is before startedAt"
    if max(started, finished or started) > datetime.now(UTC) + CLOCK_SKEW:
        yield "startedAt, finishedAt: the scan is in the future"


def _another_version(manifest: Manifest, recorded: Mapping[str, Any]) -> str:
    """Why nothing that differs proves anything, or ""."""
    tool = recorded.get("tool")
    version = tool.get("version") if isinstance(tool, dict) else None
    if version == pytest_kspec.__version__ or manifest.tool != f"pytest-kspec {version}":
        return ""
    return (
        f"pytest-kspec {version} made it, and this is {pytest_kspec.__version__}, which may give other "
        f"verdicts and messages. The signature and the digests are valid. Verify it with pytest-kspec {version}."
    )


def _scan_all(
    manifest: Manifest, folder: Path, started: datetime, moments: Mapping[_Pair, datetime], run_checks: bool
) -> tuple[list[ClusterResult], dict[_Pair, str]]:
    """(results of the replay, cluster and specification as the result names them → why there is none)."""
    from pytest_kspec import clock
    from pytest_kspec.cli.scan_run import scan_result

    refused = {
        (one.cluster, one.spec_path): f"{one.reason or 'the bundle contains no snapshot of it'}."
        for one in manifest.replays
        if not one.snapshot
    }
    again: list[ClusterResult] = []
    for snapshot in dict.fromkeys(one.snapshot for one in manifest.replays if one.snapshot):
        mine = [one for one in manifest.replays if one.snapshot == snapshot]
        # What the result does not have is replayed too: it shows what was taken out.
        known = [moments.get((one.cluster, one.spec_path), started) for one in mine]
        try:
            with contextlib.chdir(folder), clock.at(max(known)):
                result = scan_result(
                    sorted({one.spec for one in mine}),
                    clusters=[f"./{snapshot}"],
                    checks=manifest.checks,
                    exemptions=manifest.exemptions,
                    baseline=manifest.baseline,
                    run_checks=run_checks,
                )
        except KspecError as error:
            refused.update(((one.cluster, one.spec_path), str(error)) for one in mine)
        else:
            again += result.clusters
    return again, refused


def _recorded(
    recorded: Mapping[str, Any], refused: Mapping[_Pair, str]
) -> tuple[list[ClusterResult], list[str]]:
    """What the result says of clusters that cannot be replayed, and what of it contradicts itself."""
    found, problems = [], []
    for entry in _clusters(recorded):
        if _pair(entry) not in refused:
            continue
        path = f"clusters[{compare.shown(_pair(entry)[0])[1:-1]}]"
        try:
            cluster = ClusterResult.from_wire(entry)
            wire = cluster.to_wire()
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            problems.append(f"{path}: could not be read ({type(error).__name__}: {error})")
            continue
        found.append(cluster)
        problems += (f"{path}.{line}" for line in compare.differences(entry, wire, {}))
    return found, problems


def _document(recorded: Mapping[str, Any], clusters: list[ClusterResult], where: str) -> dict[str, Any]:
    from pytest_kspec.reports import json
    from pytest_kspec.results.order import canonical

    result = ScanResult(
        pytest_kspec.__version__,
        str(recorded.get("startedAt")),
        str(recorded.get("finishedAt")),
        tuple(clusters),
    )
    return document.read(json.render(canonical(result)), RESULT, where)


def _without(result: Mapping[str, Any], refused: Mapping[_Pair, str]) -> Mapping[str, Any]:
    if not refused or not isinstance(result.get("clusters"), list):
        return result
    left = [entry for entry in result["clusters"] if _pair(entry) not in refused]
    return {**result, "clusters": left}


def _clusters(result: Mapping[str, Any]) -> list[Any]:
    clusters = result.get("clusters")
    return clusters if isinstance(clusters, list) else []


def _pair(entry: Any) -> _Pair:
    spec = entry.get("spec") if isinstance(entry, dict) else None
    path = spec.get("path") if isinstance(spec, dict) else None
    return (str(entry.get("name")), str(path)) if isinstance(entry, dict) else ("", "")


def _title(entry: Any) -> str:
    spec = entry.get("spec") if isinstance(entry, dict) else None
    more = f", {spec.get('name')} {spec.get('version')}" if isinstance(spec, dict) else ""
    return compare.shown(f"{_pair(entry)[0]}{more}".strip())[1:-1]


def _say_same(cluster: ClusterResult) -> None:
    title = f"{cluster.name}, {cluster.spec_name} {cluster.spec_version}".strip()
    count = sum(len(check.findings) for check in cluster.checks)
    say(f"replay: {title}: {len(cluster.checks)} verdicts, {count} findings and everything else are the same")


def _say_differences(found: list[str]) -> None:
    say(f"{style('replay:', 'red')} {len(found)} difference{'s' * (len(found) != 1)}")
    for line in found[:SHOWN]:
        say(f"  {line}")
    if len(found) > SHOWN:
        say(f"  and {len(found) - SHOWN} more")


def _refused(why: str) -> int:
    note(f"{style('cannot be replayed:', 'red', stream=sys.stderr)} {why}")
    return EXIT_NOT_EVALUATED
