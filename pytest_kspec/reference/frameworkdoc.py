"""The framework reference, `docs/frameworks.md`, from the catalogues; a test keeps it fresh.

Run as `python -m pytest_kspec.reference.frameworkdoc docs/frameworks.md` (`make docs`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_kspec.frameworks.catalogue import Catalogue, CatalogueControl, CheckRef, catalogues, flow
from pytest_kspec.plan.catalog import load_catalog
from pytest_kspec.reference.checkdoc import anchor_of

HEAD = """# Frameworks

What the results of a scan say about the controls of compliance frameworks. `kspec frameworks` lists the
built-in ones, `kspec frameworks NAME` their controls. They are catalogues of ids, our own titles and the
checks that answer each control; the texts are with their publishers. The tables below are generated from the
catalogues (`make docs`).

## Status

Every cluster of a scan has, for each framework, each control with one status:

| Status | |
| --- | --- |
| `met` | everything that answers it was asked for, evaluated and passed |
| `partlyMet` | the same, but checks answer it only in part; `remaining` says what a person must look at besides |
| `notMet` | a check that answers it failed; a finding that is only known from a baseline counts as a failure |
| `notEvaluated` | something that answers it was not asked for, skipped or could not be evaluated; `reason` says what |
| `manual` | no check answers it; `reason` says what a person must look at |

Where `namespaceScope` left namespaces out, checks answer in part: `remaining` names them.

A failure decides, whatever else could not be evaluated. Exempted findings do not fail a control, but `reason`
counts them, as it names the namespaces that `podSecurity.exemptions` hold to a weaker level. Many checks do
what the specification asks for: `rbac.forbiddenRules` is about its entries. A catalogue therefore says what
must be asked for, and a specification that asks for less leaves the control `notEvaluated`, with the key to
add.

## Score and coverage

*Score* is the share of met controls among those that were evaluated (`met`, `partlyMet`, `notMet`),
*coverage* the share of evaluated controls among all. What checks answer only in part counts half: in the
score if it is met, in coverage always. So neither reaches 100 on the word of checks that saw half of it. Both
are rounded down. Read them together: a score of 100 with a coverage of 10 says that a tenth was looked at.

The terminal has a line for each framework:

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

The JSON report has everything, in `frameworks` of each cluster:

```json
{"id": "5.2.2", "title": "Privileged containers are not admitted", "status": "notMet",
 "checks": ["podSecurity.enforce", "podSecurity.standard[privileged]"], "reason": "", "remaining": ""},
{"id": "5.1.4", "title": "Nobody creates pods who does not need to", "status": "notEvaluated", "checks": [],
 "reason": "the specification does not ask for rbac.forbiddenRules with {apiGroup: \"\", resource: pods, …}",
 "remaining": ""}
```

## Which frameworks

Without `compliance.frameworks`, a scan reports every framework that something in the specification answers a
control of. With it, only what is named there. An entry with a name alone means a built-in framework (or one
that checks of your own name); an entry with controls is a framework of your own, which is reported as you map
it:

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
or what ids start with (`podSecurity`, `podSecurity.standard`, `workloads.containers.*`): of those, what is
asked for must pass, and something must be asked for. A control must have all its mappings answered. A control
of a built-in framework that names no mapping is answered as the catalogue says. A mapping to no check leaves
its control `notEvaluated`; scans and `kspec validate` say so, with its line.

Checks of your own name their controls in `@check(controls=...)`. Those of a built-in framework count there
beside the built-in checks; a framework that only your checks name is reported under that name. A control id
that a complete catalogue does not have is an error.

## Catalogues

`pytest_kspec/frameworks/catalogues/*.yaml`, and nowhere else, say which built-in check answers which control:

```yaml
- id: 5.2.9
  title: Containers add no capabilities          # our own words
  checks:                                        # each entry must hold
  - podSecurity.enforce: baseline                # a check, and the least that must be asked of it
  - "podSecurity.standard[capabilities]": baseline            # several in one entry: one of them
    "podSecurity.standard[capabilitiesRestricted]": restricted
  also: [podSecurity.audit]                      # counted where it is asked for
  manual: what a person must look at             # with checks: they answer in part
```
"""


def render() -> str:
    """The page."""
    ids = {check.id for check in load_catalog().checks}
    parts = [HEAD, "## Built-in frameworks\n", "| Framework | Controls | By checks | In part | By a person |"]
    parts.append("| --- | --- | --- | --- | --- |")
    for catalogue in catalogues().values():
        by = [control.coverage for control in catalogue.controls]
        counts = " | ".join(str(by.count(coverage)) for coverage in ("full", "partial", "manual"))
        parts.append(f"| [{catalogue.id}](#{anchor_of(catalogue.id)}) | {len(by)} | {counts} |")
    for catalogue in catalogues().values():
        parts += _section(catalogue, ids)
    return "\n".join(parts) + "\n"


def _section(catalogue: Catalogue, ids: set[str]) -> list[str]:
    scope = "every control" if catalogue.complete else "the controls that a cluster's configuration bears on"
    manual = [control for control in catalogue.controls if control.coverage == "manual"]
    parts = [
        f"\n## {catalogue.id}\n",
        f"{catalogue.name} {catalogue.version}: {scope}. Source: {catalogue.source}, {catalogue.date}.\n",
        "| Control | | Checks | A person looks at |",
        "| --- | --- | --- | --- |",
    ]
    parts += [_row(control, ids) for control in catalogue.controls if control.coverage != "manual"]
    if manual:
        parts.append("\nA person looks at:\n")
        parts += [f"* {control.id} {control.title}" for control in manual]
    return parts


def _row(control: CatalogueControl, ids: set[str]) -> str:
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
