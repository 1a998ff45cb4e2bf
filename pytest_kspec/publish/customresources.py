"""Reports that are objects of the scanned cluster: `--kspec-report cr` and `policyreport`.

Written after the run, by the controller, into each live cluster that was scanned. What cannot be written is a problem
of its own: no other report is lost for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.cluster.writing.naming import create_named
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.objects import compliancereport, policyreport
from pytest_kspec.crds.objects.owners import is_of_another
from pytest_kspec.errors import KspecError, NotFound, NotServed, ReportError, UsageError
from pytest_kspec.kube.objectnames import age_key
from pytest_kspec.publish.sinks import Published
from pytest_kspec.reports.shared.words import as_selected
from pytest_kspec.reports.writer import STDOUT, ReportFile
from pytest_kspec.results.result import ClusterResult, ScanResult

COMPLIANCE = "cr"
POLICY = "policyreport"
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ComplianceReports:
    """The sink `cr`: a ComplianceReport in each cluster that was scanned. address: a namespace; None: the default."""

    def __init__(self, address: str | None, *, kubeconfig: str | None = None, where: str = "") -> None:
        self._namespace = NAMESPACE if address is None else address
        self._kubeconfig = kubeconfig
        if not _NAMESPACE.fullmatch(self._namespace):
            raise UsageError(
                f"'{self._namespace}' is not a valid namespace name.",
                where=where,
                fix=f"Write {COMPLIANCE}, or {COMPLIANCE}:NAMESPACE.",
            )

    def publish(self, result: ScanResult, files: Sequence[ReportFile]) -> Published:
        """One in each cluster; where one cannot be written, the others are."""
        pointer = _pointer(result, files)
        return _each(
            result,
            COMPLIANCE,
            self._kubeconfig,
            lambda writer, cluster: write_compliance(writer, result, cluster, self._namespace, pointer),
        )


class PolicyReports:
    """The sink `policyreport`: reports of openreports.io or wgpolicyk8s.io, in the namespaces of the findings."""

    def __init__(self, address: str | None, *, kubeconfig: str | None = None, where: str = "") -> None:
        self._kubeconfig = kubeconfig
        if address is not None:
            raise UsageError(
                "policy reports are always written to the namespaces of the findings.",
                where=where,
                fix=f"Write {POLICY}, without a namespace.",
            )

    def publish(self, result: ScanResult, files: Sequence[ReportFile]) -> Published:
        """Those of each cluster; where they cannot be written, those of the others are."""
        return _each(result, POLICY, self._kubeconfig, _policy)


def _each(
    result: ScanResult, format: str, kubeconfig: str | None, write: Callable[[Writer, ClusterResult], str]
) -> Published:
    made = Published()
    for cluster in result.clusters:
        try:
            made.done.append(_write(cluster, format, kubeconfig, write))
        except KspecError as error:
            made.problems.append(str(error))
    return made


def _write(
    cluster: ClusterResult,
    format: str,
    kubeconfig: str | None,
    write: Callable[[Writer, ClusterResult], str],
) -> str:
    if cluster.source != "live":
        raise ReportError(
            f"the {format} report of {cluster.spec_name} was not written: the source is "
            f"{'a snapshot' if cluster.source == 'snapshot' else cluster.source}, not a live cluster.",
            where=cluster.name,
            fix=f"Leave out '{format}', or name only contexts with --kspec-cluster.",
        )
    source = open_source(cluster.evidence.source_ref, kubeconfig=kubeconfig)
    if not isinstance(source, LiveSource):
        raise ReportError("the context no longer exists.", where=cluster.name)
    writer = Writer(source)
    try:
        return write(writer, cluster)
    except (NotServed, NotFound) as error:
        fix = error.fix
        if isinstance(error, NotServed) and format == COMPLIANCE:
            fix = "Install it: kspec crds compliancereport | kubectl apply --server-side -f -"
        what = f"the {format} report of {cluster.spec_name} was not written: {error.what}"
        raise ReportError(what, where=cluster.name, fix=fix) from error
    finally:
        source.close()


def _pointer(result: ScanResult, files: Sequence[ReportFile]) -> str:
    """Where the whole report is: the JSON file of this run, another file, the page of the CI job; else ""."""
    paths = [str(file) for file in sorted(files, key=lambda f: f.format != "json") if file.path != STDOUT]
    return " ".join([*paths[:1], *([f"({result.run_by})"] if result.run_by else [])])


class Kept(NamedTuple):
    """How many reports of one specification and cluster are kept, how large each may be, and labels beside others.

    owner: an ownerReference, with which they go; None: none
    """

    reports: int = compliancereport.KEEP
    bytes: int = compliancereport.MAX_BYTES
    labels: tuple[tuple[str, str], ...] = ()
    owner: Mapping[str, Any] | None = None


OF_CLUSTER = Kept()
"""What a cluster keeps of itself."""


def write_compliance(
    writer: Writer,
    result: ScanResult,
    cluster: ClusterResult,
    namespace: str,
    pointer: str,
    *,
    kept: Kept = OF_CLUSTER,
    there: Sequence[dict[str, Any]] | None = None,
) -> str:
    """Write a ComplianceReport unless the newest says the same. Returns what was done, in a line.

    pointer: where the whole report is, "" for nowhere. there: reports of the specification, where they were listed.
    Raises SourceError.
    """
    made = compliancereport.build(
        cluster,
        result.finished_at,
        namespace=namespace,
        tool=f"pytest-kspec {result.tool_version}",
        full_report=pointer,
        most_bytes=kept.bytes,
    )
    made["metadata"]["labels"].update(kept.labels)
    if kept.owner is not None:
        made["metadata"]["ownerReferences"] = [dict(kept.owner)]
    if result.run_by.startswith(("http://", "https://")):
        made["status"]["reportURL"] = result.run_by
    status = made.pop("status")
    place = (compliancereport.API_VERSION, compliancereport.KIND)
    listed = (
        writer.list(*place, namespace=namespace, label_selector=compliancereport.selector(cluster))
        if there is None
        else there
    )
    if kept.owner is not None:
        listed = [one for one in listed if not is_of_another(one, kept.owner)]
    # A run of some requirements is not what the cluster was like: its reports push out none of whole runs.
    known = sorted(
        (
            one
            for one in listed
            if compliancereport.is_of(one, cluster) and compliancereport.is_partial(one) == cluster.is_partial
        ),
        key=_age,
    )
    newest = known[-1] if known else None
    if newest is not None and compliancereport.same(newest, made):
        name, text = newest["metadata"]["name"], "unchanged"
        written = newest.get("status")
        if isinstance(written, dict) and written.get("phase") == status["phase"]:
            return f"cr report: {cluster.name}: {namespace}/{name} ({text})"
        made["metadata"]["name"] = name  # its status was never written
    else:
        # Two runs may end in one second, also of `prod` with `eu-x` and of `prod-eu` with `x`, whose names are one.
        name = create_named(writer, made, (one["metadata"]["name"] for one in listed))
        text = "cut" if made["spec"]["truncated"] else "written"
    head = {key: made[key] for key in ("apiVersion", "kind")}
    writer.apply(
        {**head, "metadata": {"name": name, "namespace": namespace}, "status": status}, subresource="status"
    )
    names = [one["metadata"]["name"] for one in known if one["metadata"]["name"] != name]
    for old in names[: max(0, len(names) + 1 - kept.reports)]:
        writer.delete(*place, old, namespace=namespace)
    return f"cr report: {cluster.name}: {namespace}/{name} ({text})"


def _age(report: dict[str, Any]) -> tuple[str, int, str]:
    spec = report.get("spec")
    when = spec.get("scanTime") if isinstance(spec, dict) else ""
    return age_key(str(when), str(report["metadata"]["name"]))


def _policy(writer: Writer, cluster: ClusterResult) -> str:
    if cluster.is_partial:  # what it left out would be gone from reports that are the state of the cluster
        selected = as_selected(len(cluster.checks), len(cluster.not_selected))
        raise ReportError(
            f"the {POLICY} report of {cluster.spec_name} was not written: the run is partial ({selected}), and policy "
            "reports need all requirements.",
            where=cluster.name,
            fix=f"Remove '{POLICY}' from --report, or select all requirements.",
        )
    api = next((one for one in policyreport.APIS if writer.served(one.group, one.cluster)), None)
    if api is None:
        groups = " nor ".join(one.api_version for one in policyreport.APIS)
        raise NotServed(
            f"neither {groups} is served.",
            where=cluster.name,
            fix="Install the definitions of openreports.io, or leave out 'policyreport'.",
        )
    reports = policyreport.build(cluster, api)
    written = {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in reports
    }
    for one in reports:
        writer.apply(one)
    selector = policyreport.selector(cluster)
    for kind in (api.cluster, api.namespaced):
        for old in writer.list(api.api_version, kind, label_selector=selector):
            place = old["metadata"].get("namespace", "")
            if (kind, place, old["metadata"]["name"]) not in written:
                writer.delete(api.api_version, kind, old["metadata"]["name"], namespace=place)
    return f"policyreport report: {cluster.name}: {len(reports)} in {api.api_version}"
