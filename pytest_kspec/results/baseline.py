"""What is known and accepted for now: a file of findings that are shown, and cause no failure.

One line a finding, sorted, without values and counts, so that a version control system shows what came and what went.
A finding is recognised by its fingerprint; the text beside it is for people. What needs a reason and an end date is an
exemption; a baseline is for the day on which a specification is first applied to a cluster that has grown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_kspec.errors import UsageError
from pytest_kspec.files import read_bounded
from pytest_kspec.results.baselined import BaselineUse, Covered, KnownFinding
from pytest_kspec.results.finding import Finding, plain
from pytest_kspec.results.fingerprint import fingerprint

if TYPE_CHECKING:
    from pytest_kspec.results.result import ClusterResult, ScanResult

API_VERSION, KIND = "kspec.io/v1alpha1", "Baseline"
MAX_BYTES = 256 << 20
"""Of a baseline; a finding takes some 300."""
_WHAT_TO_DO = "Write it with 'kspec report --from result.json --update-baseline FILE'."


class Baseline:
    """A baseline in memory. path: for messages and reports."""

    def __init__(self, path: str, covered: Iterable[Covered], findings: Iterable[KnownFinding]) -> None:
        self.path = path
        self.covered = frozenset(covered)
        self.findings = tuple(sorted(set(findings)))
        self._ids = frozenset(finding.id for finding in self.findings if finding.cluster_id)
        self._ids_by_name = frozenset(finding.id for finding in self.findings if not finding.cluster_id)
        self._of: dict[tuple[str, str], list[KnownFinding]] = {}
        for finding in self.findings:
            key = (finding.cluster_id or _by_name(finding.cluster), finding.spec)
            self._of.setdefault(key, []).append(finding)

    def knows(self, identity: Callable[[], str], name: str, check_id: str) -> Callable[[Finding], bool]:
        """Whether a finding of this requirement on this cluster is known; a fingerprint takes some 3 µs.

        identity: `ClusterResult.id` of the cluster, asked for at its first finding; name: what it is called
        """
        ids, by_name = self._ids, self._ids_by_name

        def known(finding: Finding) -> bool:
            return (bool(ids) and fingerprint(identity(), check_id, finding) in ids) or (
                bool(by_name) and fingerprint(name, check_id, finding) in by_name
            )

        return known

    def use(self, cluster: ClusterResult) -> BaselineUse:
        """What became of it. An entry is fixed only if its requirement was evaluated and does not find it."""
        evaluated = {check.id: check for check in cluster.checks if cluster.looked_at(check)}
        keys = ((cluster.id, cluster.spec_name), (_by_name(cluster.name), cluster.spec_name))
        mine = [f for key in keys for f in self._of.get(key, ()) if f.check in evaluated]
        wanted = {(f.check, cluster.id if f.cluster_id else cluster.name) for f in mine}
        there = {
            fingerprint(name, check_id, finding)
            for check_id, name in wanted
            for finding in evaluated[check_id].findings
        }
        fixed = tuple(f for f in mine if f.id not in there)
        covered = any(
            c.spec == cluster.spec_name
            and (c.cluster_id == cluster.id if c.cluster_id else c.cluster == cluster.name)
            for c in self.covered
        )
        return BaselineUse(self.path, covered, fixed)

    def updated(self, result: ScanResult) -> Baseline:
        """A baseline of the open and known findings of a result; what it says of other clusters is kept.

        So is what it says of requirements that this result could not evaluate or did not ask for.
        """
        clusters = {(c.id, c.spec_name): c for c in result.clusters}
        covered = {Covered(c.name, spec, identity) for (identity, spec), c in clusters.items()}
        # A cluster may have another name by now; an entry by name is of the cluster that has the name.
        written = {(c.cluster_id, c.spec) for c in covered} | {(_by_name(c.cluster), c.spec) for c in covered}
        kept_covered = {
            c for c in self.covered if (c.cluster_id or _by_name(c.cluster), c.spec) not in written
        }
        evaluated = {
            (identity, spec, check.id)
            for (cluster_id, spec), cluster in clusters.items()
            for check in cluster.checks
            if cluster.looked_at(check)
            for identity in (cluster_id, _by_name(cluster.name))
        }
        kept = [
            f
            for f in self.findings
            if (f.cluster_id or _by_name(f.cluster), f.spec, f.check) not in evaluated
        ]
        return Baseline(self.path, kept_covered | covered, [*kept, *known_findings(result)])

    def render(self) -> bytes:
        """The file: JSON with a line for each entry, sorted, with a trailing newline."""
        import msgspec

        def lines(entries: Iterable[Any]) -> bytes:
            encoded = [b"  " + msgspec.json.encode(plain(entry.to_wire())) for entry in entries]
            return b"[\n" + b",\n".join(encoded) + b"\n ]" if encoded else b"[]"

        return b'{\n "apiVersion": "%s",\n "kind": "%s",\n "covers": %s,\n "findings": %s\n}\n' % (
            API_VERSION.encode(),
            KIND.encode(),
            lines(sorted(self.covered)),
            lines(self.findings),
        )


def _by_name(name: str) -> str:
    """What entries of an older file are found by; no identity begins so."""
    return f"\0{name}"


def subject(finding: Finding) -> str:
    """`Deployment shop/web: spec.containers[app].image`: which finding it is, without the value."""
    return f"{finding.owner}: {finding.path or finding.message}"


def known_findings(result: ScanResult) -> list[KnownFinding]:
    """The lines of a result's findings that no exemption covers."""
    return [
        KnownFinding(
            cluster.name,
            cluster.spec_name,
            check.id,
            subject(finding),
            fingerprint(cluster.id, check.id, finding),
            cluster.id,
        )
        for cluster in result.clusters
        for check in cluster.checks
        for finding in check.findings
        if finding.exemption is None
    ]


def load_baseline(path: str | Path, *, option: str = "--kspec-baseline") -> Baseline:
    """Read a baseline. Raises UsageError that names the file, for anything that is none."""
    import msgspec

    where = f"{option} {path}"
    try:
        data = msgspec.json.decode(read_bounded(path, MAX_BYTES))
    except OSError as error:
        raise UsageError(f"could not be read: {error.strerror}.", where=where, fix=_WHAT_TO_DO) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"is not JSON: {error}.", where=where, fix=_WHAT_TO_DO) from error
    head = (data.get("apiVersion"), data.get("kind")) if isinstance(data, dict) else None
    if head != (API_VERSION, KIND):
        raise UsageError(f"is not a {KIND} of {API_VERSION}.", where=where, fix=_WHAT_TO_DO)
    try:
        return Baseline(
            str(path), map(Covered.from_wire, data["covers"]), map(KnownFinding.from_wire, data["findings"])
        )
    except (KeyError, TypeError, AttributeError) as error:
        what = f"is not a complete {KIND} ({type(error).__name__}: {error})."
        raise UsageError(what, where=where, fix=_WHAT_TO_DO) from error
