"""One OSCAL result: what was examined, observed and found on one cluster for one specification.

Each part is encoded as soon as it is made: 50,000 observations as dictionaries would take 300 MB.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.reports.oscal.terms import Names, control, line, moment, props, token, when
from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.text import baseline_notes, plural, printable, value
from pytest_kspec.reports.shared.titles import unique
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict

_encode = msgspec.json.encode
_CONTROLS = {
    ControlStatus.MET: ("met", "satisfied", "pass"),
    ControlStatus.PARTLY_MET: ("met as far as checks cover it", "not-satisfied", "other"),
    ControlStatus.NOT_MET: ("not met", "not-satisfied", "fail"),
}
_STATES = {
    Verdict.PASS: ("satisfied", "pass"),
    Verdict.FAIL: ("not-satisfied", "fail"),
    Verdict.ERROR: ("not-satisfied", "other"),
}


class Writer:
    """Collects the parts of one result. title: unique in the document, the same in each run."""

    def __init__(self, cluster: ClusterResult, title: str, names: Names, run: ScanResult) -> None:
        self._cluster = cluster
        self._title = title
        self._names = names
        self._run = run
        self._now = moment(run.finished_at)
        self._component = names.lasting("component", title)
        self._tool = names.lasting("tool", title)
        self._origins = [{"actors": [{"type": "tool", "actor-uuid": self._tool}]}]
        self._items: dict[ResourceRef, tuple[str, bytes]] = {}
        self._observations: list[bytes] = []
        self._risks: list[bytes] = []
        self._findings: list[bytes] = []
        self._observed: dict[str, str] = {}
        self._fingerprints: Counter[str] = Counter()

    def result(self, evidence: list[str]) -> dict[str, Any]:
        """The result. evidence: resources of the back matter that it rests on."""
        cluster = self._cluster
        for check, name in zip(cluster.checks, unique(c.id for c in cluster.checks), strict=True):
            self._requirement(check, name)
        for framework in cluster.frameworks:
            for entry in framework.controls:
                self._control(framework, entry)
        summary = cluster.summary
        result = {
            "uuid": self._names.uuid("result", self._title),
            "title": line(self._title),
            "description": f"{line(cluster.name)} by {line(f'{cluster.spec_name} {cluster.spec_version}')}. "
            f"{words.sentence(summary)}",
            "start": moment(self._run.started_at),
            "end": self._now,
            "props": props(
                {
                    **{name: count for name, count in summary.to_wire().items() if name != "score"},
                    "score": words.score(summary),
                    "specification": cluster.spec_path,
                }
            ),
            "links": [{"href": f"#{uuid}", "rel": "evidence"} for uuid in evidence],
            "local-definitions": self._definitions(),
            "reviewed-controls": self._reviewed(),
            "observations": _joined(self._observations),
            "risks": _joined(self._risks),
            "findings": _joined(self._findings),
            "remarks": "\n".join(self._remarks()),
        }
        return {name: part for name, part in result.items() if part}  # OSCAL has no empty lists

    def _requirement(self, check: CheckResult, name: str) -> None:
        observed = self._names.uuid("requirement", self._title, name)
        self._observed.setdefault(check.id, observed)
        about = {
            "requirement": check.id,
            "verdict": check.verdict.value,
            "severity": check.severity.value,
            "examined": check.examined,
            "required-by": check.location,
        }
        ends = {
            Verdict.PASS: "It is met."
            if check.is_met
            else f"It is not met: {plural(len(check.known_findings), 'finding')} known from a baseline.",
            Verdict.FAIL: f"It is not met: {plural(len(check.open_findings), 'finding')}.",
            Verdict.ERROR: f"It could not be evaluated: {check.reason}",
            Verdict.SKIP: f"Nothing was examined: {check.reason}",
        }
        said = f"{plural(check.examined, 'object')} examined. {line(ends[check.verdict])}"
        subject = {"subject-uuid": self._component, "type": "component"}
        self._observe(observed, line(check.title), said, about, subject, "control-objective")
        related = [{"observation-uuid": observed}]
        for finding in check.findings:
            related.append({"observation-uuid": self._object(check, name, finding)})
        if check.verdict is Verdict.SKIP:
            return  # OSCAL knows satisfied and not-satisfied, and it is neither
        state, reason = _STATES[check.verdict]
        if check.verdict is Verdict.PASS and not check.is_met:
            state, reason = _STATES[Verdict.FAIL]  # a baseline fails no run, and meets no objective
        status = {"state": state, "reason": reason}
        notes = [f"Could not be evaluated: {check.reason}"] if check.verdict is Verdict.ERROR else []
        for count, why in (
            (len(check.known_findings), "known from a baseline"),
            (len(check.exempted_findings), "covered by exemptions"),
        ):
            if count:
                notes.append(f"{plural(count, 'finding')} {why}: this does not cause a failure.")
        if notes:
            status["remarks"] = line(" ".join(notes))
        target = {
            "type": "objective-id",
            "target-id": token(check.id),
            "title": line(check.title),
            "status": status,
        }
        finding_of: dict[str, Any] = {
            "uuid": self._names.uuid("finding", self._title, name),
            "title": line(check.title),
            "description": said,
            "props": props({**about, **_controls(check)}),
            "target": target,
            "related-observations": related,
        }
        if risks := self._risk(check, name, related):
            finding_of["related-risks"] = [{"risk-uuid": uuid} for uuid in risks]
        self._findings.append(_encode(finding_of))

    def _observe(
        self,
        uuid: str,
        title: str,
        said: str,
        about: Mapping[str, object],
        subject: dict[str, str],
        kind: str,
    ) -> None:
        observation = {
            "uuid": uuid,
            "title": title,
            "description": said,
            "props": props(about),
            "methods": ["TEST"],
            "types": [kind],
            "origins": self._origins,
            "subjects": [subject],
            "collected": self._now,
        }
        self._observations.append(_encode(observation))

    def _object(self, check: CheckResult, name: str, finding: Finding) -> str:
        """The observation of one object; returns its UUID."""
        identity = fingerprint(self._cluster.id, check.id, finding)
        self._fingerprints[identity] += 1
        uuid = self._names.uuid("object", self._title, name, identity, str(self._fingerprints[identity]))
        exemption = finding.exemption
        about: dict[str, object] = {
            "requirement": check.id,
            "severity": check.severity.value,
            "status": finding.status.value,
            "fingerprint": identity,
            "owner": finding.owner,
            "count": finding.count,
            "container": finding.container,
            "field": finding.path,
            "actual": value(finding.actual),
            "expected": finding.expected,
            "patch": None if finding.fix is None else value(finding.fix),
            "exemption": exemption.name if exemption else None,
        }
        if finding.resource.kind:
            subject = {"subject-uuid": self._item(finding.resource), "type": "inventory-item"}
        else:
            subject = {"subject-uuid": self._component, "type": "component"}
        self._observe(uuid, line(str(finding.resource)), line(finding.message), about, subject, "finding")
        return uuid

    def _item(self, ref: ResourceRef) -> str:
        if ref not in self._items:
            uuid = self._names.lasting("object", self._title, *ref)
            item = {"uuid": uuid, "description": line(str(ref)), "props": props(_reference(ref))}
            self._items[ref] = uuid, _encode(item)
        return self._items[ref][0]

    def _risk(self, check: CheckResult, name: str, related: list[dict[str, str]]) -> list[str]:
        """One for what fails, one for each exemption; returns their UUIDs."""
        made: list[str] = []
        by_exemption: dict[AppliedExemption, list[dict[str, str]]] = {}
        open_or_known = [related[0]]
        for finding, link in zip(check.findings, related[1:], strict=True):
            if finding.exemption is None:
                open_or_known.append(link)
            else:
                by_exemption.setdefault(finding.exemption, []).append(link)
        if len(open_or_known) > 1:
            uuid = self._names.lasting("risk", self._title, name)
            risk: dict[str, Any] = {
                "uuid": uuid,
                "title": line(f"Not met: {check.title}"),
                "description": line(check.title),
                "statement": f"{plural(len(check.open_findings), 'open finding')}, "
                f"{len(check.known_findings):,} known from a baseline.",
                "props": props({"severity": check.severity.value, "requirement": check.id}),
                "status": "open",
                "related-observations": open_or_known,
            }
            if check.remediation:
                response = self._names.lasting("response", self._title, name)
                risk["remediations"] = [
                    {
                        "uuid": response,
                        "lifecycle": "recommendation",
                        "title": "How to fix",
                        "description": line(check.remediation),
                    }
                ]
            self._risks.append(_encode(risk))
            made.append(uuid)
        for exemption, links in sorted(
            by_exemption.items(), key=lambda item: tuple(item[0].to_wire().values())
        ):
            uuid = self._names.lasting("exempted", self._title, name, *exemption.to_wire().values())
            about = {"exemption": exemption.name, "approver": exemption.approver, "requirement": check.id}
            risk = {
                "uuid": uuid,
                "title": line(f"Exempted: {check.title}"),
                "description": line(check.title),
                "statement": line(exemption.reason),
                "props": props({**about, "severity": check.severity.value}),
                "status": "deviation-approved",
                "related-observations": links,
            }
            if deadline := when(exemption.expires_at):
                risk["deadline"] = deadline
            self._risks.append(_encode(risk))
            made.append(uuid)
        return made

    def _control(self, framework: FrameworkResult, entry: ControlResult) -> None:
        """A control that was evaluated; remarks of `reviewed-controls` count the others. In part is not satisfied."""
        if not entry.evaluated:
            return
        word, state, reason = _CONTROLS[entry.status]
        status = {"state": state, "reason": reason}
        notes = [entry.reason, f"For manual review: {entry.remaining}" if entry.remaining else ""]
        if said := " ".join(filter(None, notes)):
            status["remarks"] = line(said)
        name = line(f"{framework.name} {framework.version}".strip())
        target = {
            "type": "objective-id",
            "target-id": control(framework.id, entry.id),
            "title": line(f"{entry.id} {entry.title}"),
            "status": status,
        }
        finding: dict[str, Any] = {
            "uuid": self._names.uuid("control", self._title, framework.id, entry.id),
            "title": line(f"{name}: {entry.id} {entry.title}"),
            "description": f"The control is {word}, by {plural(len(entry.checks), 'requirement')}.",
            "props": props(
                {"framework": framework.id, "control": entry.id, "control-status": entry.status.value}
            ),
            "target": target,
        }
        if links := [{"observation-uuid": self._observed[c]} for c in entry.checks if c in self._observed]:
            finding["related-observations"] = links
        self._findings.append(_encode(finding))

    def _definitions(self) -> dict[str, Any]:
        cluster = self._cluster
        about = {"uid": cluster.uid, "version": cluster.version, "source": cluster.source}
        component = {
            "uuid": self._component,
            "type": "system",
            "title": line(cluster.name),
            "description": f"Kubernetes cluster {line(cluster.name)}",
            "props": props({**about, "cluster": cluster.name}),
            # Manifests are what is to become a cluster.
            "status": {"state": "under-development" if cluster.source == "manifests" else "operational"},
        }
        version = printable(self._run.tool_version)
        tool = {
            "uuid": self._tool,
            "type": "software",
            "title": "pytest-kspec",
            "description": f"pytest-kspec {version}".strip(),
            "status": {"state": "operational"},
        }
        platform = {
            "uuid": self._names.lasting("platform", self._title),
            "title": "pytest-kspec",
            "uses-components": [{"component-uuid": self._tool}],
        }
        definitions: dict[str, Any] = {"components": [component]}
        if self._items:
            definitions["inventory-items"] = _joined([self._items[ref][1] for ref in sorted(self._items)])
        definitions["assessment-assets"] = {"components": [tool], "assessment-platforms": [platform]}
        return definitions

    def _reviewed(self) -> dict[str, Any]:
        """Controls and requirements that were evaluated; what was not is named in remarks, never as reviewed."""
        asked = [c for c in self._cluster.checks if c.verdict in _STATES]
        evaluated = [c for c in asked if c.verdict is not Verdict.ERROR]
        controls = {
            control(name, control_id)
            for c in evaluated
            for name, ids in c.controls.items()
            for control_id in ids
        }
        left: list[str] = []
        for framework in self._cluster.frameworks:
            for entry in framework.controls:
                identifier = control(framework.id, entry.id)
                if entry.evaluated:
                    controls.add(identifier)
                else:
                    controls.discard(identifier)
            name = f"{line(framework.name)} {printable(framework.version)}".strip()
            left.append(f"{name}: {words.assessed(framework.summary)}.")
        objectives = sorted({token(c.id) for c in evaluated})
        selected = sorted(controls) or objectives or ["none"]
        reviewed: dict[str, Any] = {
            "description": "Controls that requirements of the specification cover.",
            "control-selections": [{"include-controls": [{"control-id": c} for c in selected]}],
        }
        if objectives:
            reviewed["control-objective-selections"] = [
                {"include-objectives": [{"objective-id": objective} for objective in objectives]}
            ]
        if left:
            reviewed["remarks"] = "\n".join(left)
        return reviewed

    def _remarks(self) -> list[str]:
        cluster = self._cluster
        lines = [f"Not evaluated: {line(n.key)}: {line(n.reason)}" for n in cluster.not_evaluated]
        lines += map(line, baseline_notes(cluster, 100))
        for use in cluster.exemptions:
            if use.state != "used":
                until = words.until(use.expires_at)
                lines.append(
                    f"Exemption {line(use.name)}: {line(use.state)}, until {until}, {plural(use.matched, 'finding')}"
                )
        return lines


def _controls(check: CheckResult) -> dict[str, object]:
    """Named as the check names them, since a token cannot hold every name."""
    return {"controls": words.controls(check)}


def _reference(ref: ResourceRef) -> dict[str, object]:
    return {
        "api-version": ref.api_version,
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
    }


def _joined(parts: list[bytes]) -> msgspec.Raw | None:
    """A list with a line for each part, or None for an empty one, which OSCAL does not allow."""
    return msgspec.Raw(b"[\n" + b",\n".join(parts) + b"\n]") if parts else None
