"""Which frameworks apply, what answers a control, and ids that mean nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from pytest_kspec.checks.check import Check
from pytest_kspec.errors import CheckError
from pytest_kspec.plan.assess import assess
from pytest_kspec.plan.checkset import CheckSet, Entry, load_checks
from pytest_kspec.plan.frameworks import PlannedControl, PlannedFramework, plan_frameworks
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.results.exemptions import Exemption
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.spec.loading import LoadedSpec, load_spec, spec_from_part
from pytest_kspec.spec.notes import NotEvaluated

BUILT_IN = load_checks()
CIS = "cis-kubernetes-1.10"
DATA = Path(__file__).parents[1] / "spec" / "data" / "specs"
EVERYTHING = '{apiGroup: "*", resource: "*", verbs: ["*"]}'


def own(id: str, **controls: list[str]) -> Check:
    return Check(
        id=id,
        title=f"title of {id}",
        severity=Severity.LOW,
        remediation="r",
        func=lambda: None,
        doc="d",
        controls={name.replace("_", "-"): tuple(ids) for name, ids in controls.items()},
    )


def with_own(*checks: Check) -> CheckSet:
    more = [Entry(check, ModuleType("own"), builtin=False) for check in checks]
    return CheckSet([*BUILT_IN.entries.values(), *more])


def planned(spec: str | LoadedSpec, checkset: CheckSet = BUILT_IN) -> dict[str, PlannedFramework]:
    loaded = spec if isinstance(spec, LoadedSpec) else spec_from_part(spec)
    return {f.id: f for f in plan_frameworks(loaded, checkset, make_plan(loaded, checkset).planned)}


def control(frameworks: dict[str, PlannedFramework], framework: str, id: str) -> PlannedControl:
    (found,) = [c for c in frameworks[framework].controls if c.id == id]
    return found


def assessed(
    spec: str, checkset: CheckSet = BUILT_IN, left_out: tuple[NotEvaluated, ...] = (), **verdicts: Verdict
) -> dict[str, FrameworkResult]:
    """All requirements pass, but for the verdicts given by the end of their ids."""
    loaded = spec_from_part(spec)
    plan = make_plan(loaded, checkset)
    ids = [p.requirement.id for p in plan.planned]
    checks = [
        CheckResult(id, id, id, Severity.LOW, verdicts.get(id.rpartition(".")[2], Verdict.PASS)) for id in ids
    ]
    return {
        f.id: f
        for f in assess(plan_frameworks(loaded, checkset, plan.planned), plan.planned, checks, left_out)
    }


def outcome(frameworks: dict[str, FrameworkResult], framework: str, id: str) -> ControlResult:
    (found,) = [c for c in frameworks[framework].controls if c.id == id]
    return found


def test_without_a_choice_every_framework_that_something_answers() -> None:
    assert list(planned("network: {defaultDeny: true}")) == [
        CIS,
        "nist-800-53",
        "nsa-cisa-1.2",
        "pci-dss-4.0",
        "soc2",
    ]


def test_a_specification_chooses() -> None:
    found = planned("""
        network: {defaultDeny: true}
        compliance: {frameworks: [{name: SOC 2}, {name: NIST SP 800-53, revision: Rev5}, {name: pss}]}
    """)
    assert list(found) == ["soc2", "nist-800-53", "pod-security-standards"]
    assert found["nist-800-53"].version == "rev 5"


def test_reasons_name_the_key_to_add() -> None:
    found = planned("network: {defaultDeny: true}")
    reasons = {
        id: [a.missing for a in control(found, CIS, id).answers]
        for id in ("5.1.2", "5.2.2", "5.2.9", "5.3.2", "1.2.17")
    }
    assert reasons == {
        "5.1.2": [
            "the specification does not require rbac.forbiddenRules with "
            '{apiGroup: "", resource: secrets, verbs: [get, list, watch]}'
        ],
        "5.2.2": ["the specification does not require podSecurity.enforce: baseline"] * 2,
        "5.2.9": [
            "the specification does not require podSecurity.enforce: baseline",
            "the specification does not require podSecurity.enforce: baseline or podSecurity.enforce: restricted",
        ],
        "5.3.2": [""],
        "1.2.17": [
            "the specification does not require observability.logging.auditLog with {minRetentionDays: 30}"
        ],
    }


def test_a_specification_that_asks_for_less_does_not_answer() -> None:
    """Each of these passes as it is asked for; none says what the control wants to know."""
    found = assessed("""
        podSecurity: {enforce: baseline, exemptions: [{namespace: bank, level: restricted, reason: r}]}
        rbac: {forbiddenRules: [{resource: secrets, verbs: [list]}, {resource: pods, verbs: ["*"]}]}
        workloads: {containers: {required: [{key: automountServiceAccountToken, value: true}]}}
        observability: {logging: {auditLog: {required: true, minRetentionDays: 7}}}
    """)
    for id in ("5.1.1", "5.1.2", "5.1.4", "5.1.6", "5.2.6", "5.2.7", "5.2.10", "5.7.2", "1.2.17"):
        assert outcome(found, CIS, id).status is ControlStatus.NOT_EVALUATED, id
    for id in ("5.2.2", "5.2.9", "3.2.1"):
        assert outcome(found, CIS, id).status is ControlStatus.MET, id


def test_a_specification_that_asks_for_more_answers() -> None:
    found = assessed(f"""
        podSecurity: {{enforce: restricted}}
        rbac:
          forbiddenRules:
          - {EVERYTHING}
          - {{apiGroup: "*", resource: secrets, verbs: [get, list, watch, delete]}}
        workloads: {{containers: {{required: [{{key: automountServiceAccountToken, value: "false"}}]}}}}
        observability: {{logging: {{auditLog: {{required: true, minRetentionDays: 400}}}}}}
    """)
    for id in ("5.1.1", "5.1.2", "5.1.6", "5.2.6", "5.2.7", "5.2.9", "5.2.10", "5.7.2", "3.2.1"):
        assert outcome(found, CIS, id).status is ControlStatus.MET, id
    assert outcome(found, CIS, "5.1.3").status is ControlStatus.PARTLY_MET
    standards = found["pod-security-standards"].summary
    assert (standards.met, standards.score, standards.coverage) == (19, 100.0, 100.0)


def test_requirements_carry_the_controls_that_they_answer() -> None:
    plan = make_plan(
        spec_from_part(f"rbac: {{forbiddenRules: [{EVERYTHING}, {{resource: pods, verbs: [create]}}]}}"),
        BUILT_IN,
    )
    cis = {p.requirement.id: p.requirement.controls.get(CIS) for p in plan.planned}
    assert cis == {
        "rbac.forbiddenRules[*/*]": ("5.1.1", "5.1.3"),
        "rbac.forbiddenRules[core/pods]": ("5.1.4",),
    }


def test_namespaces_at_a_weaker_level_are_said() -> None:
    found = assessed("""
        podSecurity:
          enforce: baseline
          exemptions:
          - {namespace: kube-system, level: privileged, reason: r}
          - {namespace: bank, level: restricted, reason: r}
          - {namespace: old, level: privileged, reason: r, expiresAt: "2020-01-01"}
    """)
    met = outcome(found, "pod-security-standards", "baseline/privileged")
    assert (met.status, met.reason) == (
        ControlStatus.MET,
        "namespaces at a weaker level: kube-system (privileged)",
    )


def test_what_the_scope_leaves_out_a_person_looks_at() -> None:
    spec = "{podSecurity: {enforce: baseline}, observability: {logging: {auditLog: {required: true}}}}"
    found = assessed(spec, left_out=(NotEvaluated("namespaceScope", "1 of 3 namespaces are out of scope"),))
    limited = outcome(found, CIS, "5.2.2")
    assert (limited.status, limited.remaining) == (
        ControlStatus.PARTLY_MET,
        "1 of 3 namespaces are out of scope",
    )
    whole = outcome(found, CIS, "3.2.1")  # the audit log is the cluster's
    assert (whole.status, whole.remaining) == (ControlStatus.MET, "")
    both = outcome(found, "nist-800-53", "CM-6").remaining
    assert both.endswith("approved; 1 of 3 namespaces are out of scope")


OWN_FRAMEWORK = """
network: {{defaultDeny: true}}
podSecurity: {{enforce: baseline}}
compliance:
  frameworks:
  - name: {name}
    revision: "{revision}"
    controls:
    - id: {id}
      mappings: [{mappings}]
"""


def claimed(mappings: str, name: str = "Rules", revision: str = "7", id: str = "R-1") -> str:
    parts = ", ".join(f'{{check: "{name}"}}' for name in mappings.split())
    return OWN_FRAMEWORK.format(name=name, revision=revision, id=id, mappings=parts)


@pytest.mark.parametrize(
    ("mappings", "status", "reason"),
    [
        ("network.defaultDeny", ControlStatus.MET, ""),
        ("podSecurity.standard", ControlStatus.MET, ""),
        ("podSecurity", ControlStatus.MET, ""),
        ("podSecurity.standard.*", ControlStatus.MET, ""),
        ("podSecurity.standard[privileged] network.defaultDeny", ControlStatus.MET, ""),
        (
            "network.requiredPolicies",
            ControlStatus.NOT_EVALUATED,
            "the specification does not require network.requiredPolicies",
        ),
        (
            "workloads.containers.required[hostNetwork]",
            ControlStatus.NOT_EVALUATED,
            "the specification does not require workloads.containers.required[hostNetwork]",
        ),
        (
            "network.defaultDeny network.validation",
            ControlStatus.NOT_EVALUATED,
            "it is mapped to 'network.validation', but no check has this id",
        ),
        ("", ControlStatus.NOT_EVALUATED, "the specification does not map a check to this control"),
    ],
)
def test_mappings_of_the_specification(mappings: str, status: ControlStatus, reason: str) -> None:
    found = assessed(claimed(mappings))
    assert list(found) == ["spec/rules-7"]
    made = outcome(found, "spec/rules-7", "R-1")
    assert (made.status, made.reason) == (status, reason)


def test_the_failure_of_one_part_fails_a_mapping_to_all() -> None:
    made = assessed(claimed("network podSecurity"), BUILT_IN, (), **{"standard[privileged]": Verdict.FAIL})
    assert outcome(made, "spec/rules-7", "R-1").status is ControlStatus.NOT_MET


def test_the_specifications_own_framework_says_where_it_stands() -> None:
    found = planned(claimed("network"))["spec/rules-7"]
    assert (found.name, found.version, found.source) == ("Rules", "7", "the specification, <spec>:6:5")


def test_what_a_specification_leaves_open_the_catalog_says() -> None:
    found = assessed(claimed("", "NIST SP 800-53", "rev 5", "SC-7(5)"))
    made = outcome(found, "spec/nist-sp-800-53-rev-5", "SC-7(5)")
    assert (made.title, made.status) == ("Traffic is denied unless it is allowed", ControlStatus.PARTLY_MET)
    assert made.remaining
    other = assessed(claimed("", "NIST SP 800-53", "rev 4", "SC-7(5)"))
    assert outcome(other, "spec/nist-sp-800-53-rev-4", "SC-7(5)").status is ControlStatus.NOT_EVALUATED


def test_a_framework_that_only_checks_of_the_users_name() -> None:
    checkset = with_own(own("acme.label", acme=["OPS-7"]), own("acme.other", acme=["OPS-7", "OPS-8"]))
    found = assessed("network: {defaultDeny: true}", checkset, label=Verdict.FAIL)
    assert "acme" in found
    assert [(c.id, c.title, c.status, c.checks) for c in found["acme"].controls] == [
        ("OPS-7", "title of acme.label", ControlStatus.NOT_MET, ("acme.label", "acme.other")),
        ("OPS-8", "title of acme.other", ControlStatus.MET, ("acme.other",)),
    ]
    chosen = planned("compliance: {frameworks: [{name: acme}]}", checkset)
    assert list(chosen) == ["acme"]


def test_checks_of_the_users_count_in_built_in_frameworks() -> None:
    checkset = with_own(
        own("acme.x", **{"cis_kubernetes_1.10": ["5.7.4", "5.3.2"], "nist_800_53": ["AC-25"]})
    )
    found = assessed("network: {defaultDeny: true}", checkset)
    assert outcome(found, CIS, "5.7.4").status is ControlStatus.PARTLY_MET
    assert outcome(found, CIS, "5.3.2").checks == ("acme.x", "network.defaultDeny")
    assert outcome(found, "nist-800-53", "AC-25").status is ControlStatus.MET
    failing = assessed("network: {defaultDeny: true}", checkset, x=Verdict.FAIL)
    assert outcome(failing, CIS, "5.3.2").status is ControlStatus.NOT_MET


def test_a_control_that_a_complete_catalog_does_not_have_is_an_error(tmp_path: Path) -> None:
    module = tmp_path / "test_own.py"
    module.write_text(
        "from pytest_kspec import check\n"
        '@check(id="acme.x", title="t", severity="low", remediation="r",'
        ' controls={"cis-kubernetes-1.10": ["5.2.22"]})\n'
        'def test_x(pods):\n    """d"""\n    assert pods\n'
    )
    with pytest.raises(CheckError, match=r"has no control '5.2.22'") as error:
        load_checks([module])
    assert "Did you mean '5.2.2'?" in str(error.value)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("minimal", []),
        ("moderate", []),
        ("strict", ["compliance.frameworks[0].controls[0].mappings[0].check"]),
        (
            "comprehensive",
            [
                "compliance.frameworks[0].controls[0].mappings[0].check",
                "compliance.frameworks[0].controls[0].mappings[1].check",
                "compliance.frameworks[0].controls[1].mappings[0].check",
            ],
        ),
    ],
)
def test_the_predecessors_mappings_to_nothing_are_noted(name: str, keys: list[str]) -> None:
    spec = load_spec(DATA / f"{name}.yaml")
    noted = [n for n in make_plan(spec, BUILT_IN).not_evaluated if n.key.startswith("compliance")]
    assert [n.key for n in noted] == keys
    assert all("no check has this id" in n.reason and f"{name}.yaml:" in n.location for n in noted)
    for framework in planned(spec).values():
        if framework.id.startswith("spec/"):
            assert not framework.is_answered


@pytest.mark.parametrize(
    "check",
    [
        "network.defaultDeny", "network.requiredPolicies", "rbac.minimumRules", "rbac.forbiddenRules",
        "podSecurity.enforce", "observability.metrics", "observability.logging", "workloads.containers.required.*",
        "workloads.containers.forbidden.*",
    ],
)  # fmt: skip
def test_ids_of_the_predecessors_examples_that_are_checks_now(check: str) -> None:
    assert make_plan(spec_from_part(claimed(check)), BUILT_IN).not_evaluated == ()


def test_a_mapping_to_nothing_is_noted_with_its_line_and_what_may_be_meant() -> None:
    (noted,) = make_plan(spec_from_part(claimed("network.defaultdeny")), BUILT_IN).not_evaluated
    assert noted == NotEvaluated(
        "compliance.frameworks[0].controls[0].mappings[0].check",
        "control R-1: 'network.defaultdeny': no check has this id. Did you mean 'network.defaultDeny'?",
        "<spec>:10:19",
    )


def test_mappings_to_checks_of_the_users_are_known() -> None:
    spec = spec_from_part(claimed("acme.label"))
    assert make_plan(spec, with_own(own("acme.label"))).not_evaluated == ()
    assert make_plan(spec, BUILT_IN).not_evaluated != ()


def test_a_framework_that_says_nothing_is_noted() -> None:
    spec = spec_from_part(
        "compliance: {frameworks: [{name: CIS Kubernetes Benchmark, revision: v1.7}, {name: HIPAA}]}"
    )
    noted = [(n.key, n.reason) for n in make_plan(spec, BUILT_IN).not_evaluated]
    assert noted[0][0] == "compliance.frameworks[0]"
    assert noted[0][1].startswith(
        "'CIS Kubernetes Benchmark v1.7' has no controls and is not a built-in framework. "
    )
    assert noted[1] == (
        "compliance.frameworks[1]",
        "'HIPAA' has no controls and is not a built-in framework. 'kspec frameworks' lists those.",
    )
    assert planned(spec) == {}


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        ("podSecurity.standard[privileged]", True),
        ("podSecurity.standard[priviledged]", False),
        ("podSecurity.standard", True),
        ("podSecurity.*", True),
        ("podSecurity", False),  # an exemption for it matches nothing: ids are whole, wildcards written
        ("*", True),
        ("workloads.containers.required", True),
        ("workloads.containers.required[hostNetwork]", True),
        ("workloads.containers.required[*]", True),
        ("rbac.forbiddenRules[core/secrets]", True),
        ("network.defaultdeny", False),
        ("acme.*", False),
    ],
)
def test_exemptions_that_no_check_can_match_are_noted(pattern: str, known: bool) -> None:
    exemption = Exemption.model_validate(
        {"name": "e", "reason": "r", "namespaces": ["a"], "checks": [pattern]}
    )
    spec = spec_from_part("network: {defaultDeny: true}")
    noted = make_plan(spec, BUILT_IN, [exemption]).not_evaluated
    assert (noted == ()) is known
    if not known:
        assert noted[0].key == "exemption e"
        assert f"'{pattern}': no check has this id." in noted[0].reason


@pytest.mark.parametrize(
    "pattern",
    ["[a-z]*", "workloads.containers.[rf]*", "pod{Security,x}.*", "(rbac|network).*", r"rbac\..+", "^rbac"],
)
def test_other_wildcards_are_none(pattern: str) -> None:
    exemption = Exemption.model_validate({"name": "e", "reason": "r", "checks": [pattern]})
    noted = make_plan(spec_from_part("network: {defaultDeny: true}"), BUILT_IN, [exemption]).not_evaluated
    assert noted[0].reason == f"'{pattern}': no check has this id. Only * and ? are wildcards."


def test_exemptions_of_the_specification_are_noted_with_their_line() -> None:
    spec = spec_from_part(
        "policyExemptions:\n- {name: e, reason: r, namespaces: [a], checks: [network.defaultDeni]}\n"
    )
    (noted,) = make_plan(spec, BUILT_IN).not_evaluated
    assert noted.location == "<spec>:2:3"
    assert noted.reason.endswith("Did you mean 'network.defaultDeny'?")


@pytest.mark.parametrize(
    ("version", "known"), [("v1.0", True), ("v1.37", True), ("latest", True), ("v1.38", False)]
)
def test_standards_that_are_not_known_here_are_noted(version: str, known: bool) -> None:
    noted = make_plan(
        spec_from_part(f"podSecurity: {{enforce: baseline, version: {version}}}"), BUILT_IN
    ).not_evaluated
    said = [f"{n.location} {n.key}: {n.reason}" for n in noted]
    text = "the standards of v1.38 are not known to this version: those of v1.37 are applied"
    assert said == ([] if known else [f"<spec>:1:34 podSecurity.version: {text}"])
