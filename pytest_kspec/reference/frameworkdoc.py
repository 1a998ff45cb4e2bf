"""The framework reference, `docs/frameworks.md`, from the catalogs; a test keeps it fresh.

Run as `python -m pytest_kspec.reference.frameworkdoc docs/frameworks.md` (`make docs`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_kspec.frameworks.catalog import Catalog, CatalogControl, CheckRef, catalogs, flow
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference.checkdoc import anchor_of

HEAD = """# Frameworks

A scan reports the status of the controls of compliance frameworks. `kspec frameworks` lists the built-in
frameworks, `kspec frameworks NAME` lists the controls of one. A catalog contains the ids, titles in our own
words, and the checks that cover each control; the full texts are available from the publishers. The tables
below are generated from the catalogs (`make docs`).

## Status

For each cluster and framework, a scan reports one status for each control:

| Status | |
| --- | --- |
| `met` | all checks that cover the control were required, evaluated and passed |
| `partlyMet` | the same, but checks cover the control only in part; `remaining` contains what to review manually |
| `notMet` | a check that covers the control failed; a finding that is known from a baseline counts as a failure |
| `notEvaluated` | a check that covers the control was not required, skipped or could not be evaluated; see `reason` |
| `manual` | no check covers the control; `reason` contains what to review manually |

If `namespaceScope` excludes namespaces, checks cover controls only in part: `remaining` names the namespaces.

If one check fails, the control is not met, even if other checks could not be evaluated. Exempted findings do
not fail a control, but `reason` contains their number. It also names the namespaces to which
`podSecurity.exemptions` apply a weaker level. Many checks depend on the specification: `rbac.forbiddenRules`
evaluates the entries of the specification. A catalog therefore contains what a specification must require.
If a specification requires less, the control is `notEvaluated`, and the reason names the key to add.

## Score and coverage

*Score* is the share of met controls among the evaluated controls (`met`, `partlyMet`, `notMet`). *Coverage* is
the share of evaluated controls among all controls. A control that checks cover only in part counts half: in the
score if it is met, in the coverage always. So neither value reaches 100 if checks covered only a part. Both
are rounded down. Read them together: a score of 100 with a coverage of 10 means that a tenth was evaluated.

The terminal prints a line for each framework:

```console exit=1
$ kspec scan examples/01-quickstart/strict.yaml
…
   · CIS Kubernetes Benchmark 1.10.0: score 0.0, coverage 11.1 %
   · NIST SP 800-53 rev 5: score 2.5, coverage 25.6 %
   · NSA/CISA Kubernetes Hardening Guidance 1.2: score 5.0, coverage 26.0 %
   · PCI DSS 4.0: score 2.7, coverage 23.0 %
   · Pod Security Standards v1.37: score 50.0, coverage 63.1 %
   · SOC 2 2017: score 0.0, coverage 25.0 %
```

The JSON report contains all controls in `frameworks` of each cluster:

```json
{"id": "5.2.2", "title": "Privileged containers are not admitted", "status": "notMet",
 "checks": ["podSecurity.enforce", "podSecurity.standard[privileged]"], "reason": "", "remaining": ""},
{"id": "5.1.4", "title": "Restrict access to create pods", "status": "notEvaluated", "checks": [],
 "reason": "the specification does not require rbac.forbiddenRules with {apiGroup: \"\", resource: pods, …}",
 "remaining": ""}
```

## Which frameworks

Without `compliance.frameworks`, a scan reports every framework of which the specification covers at least one
control. With it, only the listed frameworks are reported. An entry with only a name refers to a built-in
framework (or to a framework that your own checks name). An entry with controls defines your own framework:

```yaml
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: prod, version: "1.0"}
spec:
  podSecurity: {enforce: restricted}
  network: {defaultDeny: true}
  compliance:
    frameworks:
      - name: pod-security-standards
      - name: NIST SP 800-53
        revision: Rev5
      - name: Platform rules
        revision: "2027"
        controls:
          - id: PR-1
            title: Namespaces are closed
            mappings:
              - check: network.defaultDeny
              - check: podSecurity.standard
```

A mapping names a check (`network.defaultDeny`), a requirement (`workloads.containers.required[hostNetwork]`),
or a prefix of ids (`podSecurity`, `podSecurity.standard`, `workloads.containers.*`). For a prefix, all required
checks must pass, and at least one must be required. All mappings of a control must pass. A control of a
built-in framework without mappings uses the mappings of the catalog. If a mapping matches no check, the
control is `notEvaluated`; scans and `kspec validate` report the mapping with its line.

Your own checks name their controls in `@check(controls=...)`. Controls of a built-in framework are then covered by
your checks in addition to the built-in checks. A framework that only your checks name is reported under that
name. A control id that is missing from a complete catalog is an error.

## Catalogs

The files `pytest_kspec/frameworks/catalogs/*.yaml` define which built-in checks cover which controls:

```yaml
- id: 5.2.9
  title: Containers add no capabilities          # our own words
  checks:                                        # each entry must hold
  - podSecurity.enforce: baseline                # a check, and the minimum that must be required
  - "podSecurity.standard[capabilities]": baseline            # several checks in one entry: one of them must hold
    "podSecurity.standard[capabilitiesRestricted]": restricted
  also: [podSecurity.audit]                      # counted if the specification requires it
  manual: what to review manually                # with checks: the checks cover only a part
```
"""


def render() -> str:
    """The page."""
    ids = {check.id for check in load_checks().checks}
    parts = [
        HEAD,
        "## Built-in frameworks\n",
        "| Framework | Controls | Covered by checks | Partially covered | Manual review |",
    ]
    parts.append("| --- | --- | --- | --- | --- |")
    for catalog in catalogs().values():
        by = [control.coverage for control in catalog.controls]
        counts = " | ".join(str(by.count(coverage)) for coverage in ("full", "partial", "manual"))
        parts.append(f"| [{catalog.id}](#{anchor_of(catalog.id)}) | {len(by)} | {counts} |")
    for catalog in catalogs().values():
        parts += _section(catalog, ids)
    return "\n".join(parts) + "\n"


def _section(catalog: Catalog, ids: set[str]) -> list[str]:
    scope = "every control" if catalog.complete else "the controls that a cluster's configuration bears on"
    manual = [control for control in catalog.controls if control.coverage == "manual"]
    parts = [
        f"\n## {catalog.id}\n",
        f"{catalog.name} {catalog.version}: {scope}. Source: {catalog.source}, {catalog.date}.\n",
        "| Control | | Checks | To review manually |",
        "| --- | --- | --- | --- |",
    ]
    parts += [_row(control, ids) for control in catalog.controls if control.coverage != "manual"]
    if manual:
        parts.append("\nTo review manually:\n")
        parts += [f"* {control.id} {control.title}" for control in manual]
    return parts


def _row(control: CatalogControl, ids: set[str]) -> str:
    checks = "<br>".join(" or ".join(_ref(ref, ids) for ref in entry) for entry in control.checks)
    if control.also:
        checks += f"<br>also {', '.join(_ref(ref, ids) for ref in control.also)}"
    return f"| {control.id} | {control.title} | {checks} | {control.manual} |"


def _ref(ref: CheckRef, ids: set[str]) -> str:
    text = f"[`{ref.check}`](checks.md#{anchor_of(ref.check)})" if ref.check in ids else f"`{ref.check}`"
    return text if ref.asks is None else f"{text}: `{flow(ref.asks)}`"


def main() -> None:
    """Write the page."""
    Path(sys.argv[1]).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
