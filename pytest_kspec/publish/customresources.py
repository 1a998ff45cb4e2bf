"""Reports that are objects of the scanned cluster: `--kspec-report cr` and `policyreport`.

Written after the run, by the controller, into each live cluster that was scanned. What cannot be written is a problem
of its own: no other report is lost for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.objects import compliancereport, policyreport
from pytest_kspec.errors import KspecError, NotFound, NotServed, ReportError
from pytest_kspec.publish.targets import COMPLIANCE, ClusterTarget
from pytest_kspec.reports.writer import STDOUT, Target
from pytest_kspec.results.result import ClusterResult, ScanResult


def write(
    result: ScanResult, targets: Sequence[ClusterTarget], files: Sequence[Target], kubeconfig: str | None
) -> tuple[list[str], list[str]]:
    """Write each report into each cluster. Returns what was done and what went wrong, a line each.

    files: the reports that are written as files: where a report that had to be cut points to
    """
    done: list[str] = []
    problems: list[str] = []
    for target in targets:
        for cluster in result.clusters:
            try:
                done.append(_write(result, cluster, target, files, kubeconfig))
            except KspecError as error:
                problems.append(str(error))
    return done, problems


def _write(
    result: ScanResult,
    cluster: ClusterResult,
    target: ClusterTarget,
    files: Sequence[Target],
    kubeconfig: str | None,
) -> str:
    if cluster.source != "live":
        raise ReportError(
            f"the {target.format} report of {cluster.spec_name} was not written: the source is "
            f"{'a snapshot' if cluster.source == 'snapshot' else cluster.source}, not a live cluster.",
            where=cluster.name,
            fix=f"Leave out '{target.format}', or name only contexts with --kspec-cluster.",
        )
    source = open_source(cluster.evidence.source_ref, kubeconfig=kubeconfig)
    if not isinstance(source, LiveSource):
        raise ReportError("the context is gone.", where=cluster.name)
    writer = Writer(source)
    try:
        if target.format == COMPLIANCE:
            return _compliance(writer, result, cluster, target.namespace, _pointer(result, files))
        return _policy(writer, cluster)
    except (NotServed, NotFound) as error:
        fix = error.fix
        if isinstance(error, NotServed) and target.format == COMPLIANCE:
            fix = "Install it: kspec crds compliancereport | kubectl apply --server-side -f -"
        what = f"the {target.format} report of {cluster.spec_name} was not written: {error.what}"
        raise ReportError(what, where=cluster.name, fix=fix) from error
    finally:
        source.close()


def _pointer(result: ScanResult, files: Sequence[Target]) -> str:
    """Where the whole report is: the JSON file of this run, another file, the page of the CI job; else ""."""
    paths = [str(file) for file in sorted(files, key=lambda f: f.format != "json") if file.path != STDOUT]
    return " ".join([*paths[:1], *([f"({result.run_by})"] if result.run_by else [])])


def _compliance(
    writer: Writer, result: ScanResult, cluster: ClusterResult, namespace: str, pointer: str
) -> str:
    made = compliancereport.build(
        cluster,
        result.finished_at,
        namespace=namespace,
        tool=f"pytest-kspec {result.tool_version}",
        full_report=pointer,
    )
    if result.run_by.startswith(("http://", "https://")):
        made["status"]["reportURL"] = result.run_by
    status = made.pop("status")
    place = (compliancereport.API_VERSION, compliancereport.KIND)
    selector = ",".join(f"{key}={value}" for key, value in sorted(compliancereport.labels(cluster).items()))
    known = sorted(writer.list(*place, namespace=namespace, label_selector=selector), key=_age)
    newest = known[-1] if known else None
    if newest is not None and compliancereport.same(newest, made):
        name, text = newest["metadata"]["name"], "unchanged"
        written = newest.get("status")
        if isinstance(written, dict) and written.get("phase") == status["phase"]:
            return f"cr report: {cluster.name}: {namespace}/{name} ({text})"
        made["metadata"]["name"] = name  # its status was never written
    else:
        writer.apply(made)
        name, text = made["metadata"]["name"], "cut" if made["spec"]["truncated"] else "written"
    head = {key: made[key] for key in ("apiVersion", "kind")}
    writer.apply(
        {**head, "metadata": {"name": name, "namespace": namespace}, "status": status}, subresource="status"
    )
    names = [one["metadata"]["name"] for one in known if one["metadata"]["name"] != name]
    for old in names[: max(0, len(names) + 1 - compliancereport.KEEP)]:
        writer.delete(*place, old, namespace=namespace)
    return f"cr report: {cluster.name}: {namespace}/{name} ({text})"


def _age(report: dict[str, Any]) -> tuple[str, str]:
    spec = report.get("spec")
    when = spec.get("scanTime") if isinstance(spec, dict) else ""
    return str(when), str(report["metadata"]["name"])


def _policy(writer: Writer, cluster: ClusterResult) -> str:
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
    selector = ",".join(f"{key}={value}" for key, value in sorted(policyreport.labels(cluster).items()))
    for kind in (api.cluster, api.namespaced):
        for old in writer.list(api.api_version, kind, label_selector=selector):
            place = old["metadata"].get("namespace", "")
            if (kind, place, old["metadata"]["name"]) not in written:
                writer.delete(api.api_version, kind, old["metadata"]["name"], namespace=place)
    return f"policyreport report: {cluster.name}: {len(reports)} in {api.api_version}"
