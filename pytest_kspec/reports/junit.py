"""JUnit XML of our own: one testsuite a specification and cluster, one testcase a requirement.

pytest's own file has a single suite, and loses suite properties under xdist. Dashboards show little: GitLab
keeps the first of two equal names and reads no properties, Jenkins shows `message` and the text, and splits class
names at their last dot. So names are unique, a class name has one dot, and what one must know is in them and in the
failure text. Written with the standard library:
junit-xml (1.9, of 2020) writes a `disabled` attribute and times that the Jenkins schema rejects.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pytest_kspec.reports.shared.text import baseline_notes, plural, printable, printable_lines, value
from pytest_kspec.reports.shared.titles import class_names, cluster_titles, unique
from pytest_kspec.reports.shared.words import controls, until
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict


def render(result: ScanResult) -> bytes:
    """The file as UTF-8. Counts: tests = passes + failures + errors + skipped, in each suite and in all."""
    names = class_names(result)
    suites = [
        _suite(cluster, title, name, result)
        for cluster, title, name in zip(result.clusters, cluster_titles(result), names, strict=True)
    ]
    total = result.summary
    tests = sum(len(c.checks) for c in result.clusters)
    root = Element(
        "testsuites", name="kspec", tests=f"{tests}", failures=f"{total.failed}", errors=f"{total.errors}"
    )
    root.set("time", _seconds(check for cluster in result.clusters for check in cluster.checks))
    root.extend(suites)
    ElementTree.indent(root, " ")
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _seconds(checks: Iterable[CheckResult]) -> str:
    return f"{sum(check.duration_seconds for check in checks):.3f}"


def _suite(cluster: ClusterResult, title: str, class_name: str, result: ScanResult) -> Element:
    summary = cluster.summary
    suite = Element(
        "testsuite",
        name=printable(title),
        tests=str(len(cluster.checks)),
        failures=str(summary.failed),
    )
    suite.set("errors", str(summary.errors))
    suite.set("skipped", str(summary.skipped))
    suite.set("time", _seconds(cluster.checks))
    suite.set("timestamp", printable_lines(result.started_at))
    properties = SubElement(suite, "properties")
    for name, text in {
        "cluster.name": cluster.name,
        "cluster.source": cluster.source,
        "cluster.uid": cluster.uid,
        "cluster.version": cluster.version,
        "kspec.version": result.tool_version,
        "score": "" if summary.score is None else f"{summary.score:.1f}",
        "spec.name": cluster.spec_name,
        "spec.path": cluster.spec_path,
        "spec.version": cluster.spec_version,
    }.items():
        SubElement(properties, "property", name=name, value=printable(text))
    for check, name in zip(cluster.checks, unique(c.id for c in cluster.checks), strict=True):
        suite.append(_case(check, name, class_name))
    if notes := _notes(cluster):
        SubElement(suite, "system-out").text = printable_lines("\n".join(notes))
    return suite


def _notes(cluster: ClusterResult) -> list[str]:
    """What concerns the cluster and no single requirement."""
    lines = [
        f"not evaluated: {n.key}: {n.reason} ({n.location or 'no location'})" for n in cluster.not_evaluated
    ]
    for use in cluster.exemptions:
        if use.state == "expired":
            uncovered = plural(use.matched, "finding")
            lines.append(
                f"exemption expired: {use.name}, on {until(use.expires_at)}: {uncovered} no longer covered"
            )
        elif use.state == "unused":
            lines.append(f"exemption unused: {use.name} ({use.location}) matches nothing")
    lines += baseline_notes(cluster)
    return lines


def _case(check: CheckResult, name: str, class_name: str) -> Element:
    case = Element(
        "testcase",
        name=printable(name),
        classname=printable(class_name),
        time=_seconds([check]),
    )
    if check.verdict is Verdict.SKIP:
        SubElement(case, "skipped", message=printable_lines(check.reason))
    elif check.verdict is Verdict.ERROR:
        outcome = SubElement(
            case,
            "error",
            type=check.severity.value,
            message=printable_lines(f"not evaluated: {check.reason}"),
        )
        outcome.text = printable_lines(_explain(check, [f"could not be evaluated: {check.reason}"]))
    elif check.verdict is Verdict.FAIL:
        outcome = SubElement(
            case, "failure", type=check.severity.value, message=printable_lines(_headline(check))
        )
        outcome.text = printable_lines(_explain(check, []))
    lines = []
    if known := check.known_findings:
        lines.append(f"{plural(len(known), 'finding')} known from the baseline:")
        for finding in known:
            lines += _lines(finding)
    if exempted := check.exempted_findings:
        lines.append(f"{plural(len(exempted), 'finding')} exempted:")
        for finding in exempted:
            lines += [*_lines(finding), *_exempted_by(finding)]
    if lines:
        SubElement(case, "system-out").text = printable_lines("\n".join(lines))
    return case


def _headline(check: CheckResult) -> str:
    findings = check.open_findings
    if not findings:
        return check.title
    first = findings[0]
    more = f" (and {plural(len(findings) - 1, 'more finding')})" if len(findings) > 1 else ""
    return f"{first.owner}: {printable(first.message)}{more}"


def _explain(check: CheckResult, lines: list[str]) -> str:
    findings = check.open_findings
    lines = [f"{check.title} [{check.severity.value}]", *lines]
    if findings:
        lines.append(f"{plural(len(findings), 'finding')}:")
    for finding in findings:
        lines += _lines(finding)
    if check.remediation and findings:
        lines.append(f"fix: {check.remediation}")
    if check.location:
        lines.append(f"required by: {check.location}")
    if check.controls:
        lines.append(f"controls: {controls(check)}")
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    count = f" ×{finding.count}" if finding.count > 1 else ""
    lines = [f"- {finding.owner}{count}: {printable(finding.message)}"]
    if finding.resource != finding.owner:
        lines.append(f"    object:   {finding.resource}")
    if finding.path:
        lines.append(f"    field:    {printable(finding.path)}")
    lines.append(f"    actual:   {value(finding.actual)}")
    if finding.expected:
        lines.append(f"    expected: {printable(finding.expected)}")
    if finding.fix is not None:
        lines.append(f"    patch:    {value(finding.fix)}")
    return lines


def _exempted_by(finding: Finding) -> list[str]:
    exemption = finding.exemption
    if exemption is None:
        return []
    approver = f", approved by {exemption.approver}" if exemption.approver else ""
    return [
        f"    exempted by {exemption.name} until {until(exemption.expires_at)}{approver}: {exemption.reason}"
    ]
