"""The status of a control: examples, and the property that one that was not evaluated never looks met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.plan.assess import assess, assess_control, looks_at_pods
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.plan.frameworks import Answer, PlannedControl, PlannedFramework
from pytest_kspec.plan.plan import Planned
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE, Severity, Verdict
from pytest_kspec.spec.notes import NotEvaluated
from pytest_kspec.spec.requirement import Requirement

REF = ResourceRef("v1", "Pod", "web", "shop")
EXEMPTION = AppliedExemption("legacy", "until the rewrite", "ops", "")
MET, PARTLY, NOT_MET, OPEN, MANUAL = (
    ControlStatus.MET,
    ControlStatus.PARTLY_MET,
    ControlStatus.NOT_MET,
    ControlStatus.NOT_EVALUATED,
    ControlStatus.MANUAL,
)


def finding(*, exempted: bool = False, known: bool = False) -> Finding:
    return Finding(
        REF, REF, "spec.x", 1, "2", "x is 1", exemption=EXEMPTION if exempted else None, known=known
    )


def result(id: str, verdict: Verdict, *findings: Finding, reason: str = "") -> CheckResult:
    if verdict is Verdict.SKIP:
        reason = reason or NOTHING_TO_EXAMINE
    return CheckResult(id, f"s.yaml::c::{id}", id, Severity.LOW, verdict, findings=findings, reason=reason)


def control(*answers: Answer, also: tuple[str, ...] = (), manual: str = "", note: str = "") -> PlannedControl:
    return PlannedControl("C-1", "a title", answers, also, manual, note)


def status(planned: PlannedControl, *results: CheckResult) -> ControlResult:
    by_id: dict[str, list[CheckResult]] = {}
    for made in results:
        by_id.setdefault(made.id, []).append(made)
    return assess_control(planned, by_id)


BOTH = control(Answer(("a",)), Answer(("b",)))
EITHER = control(Answer(("a", "b")))


def test_met_when_every_answer_passed() -> None:
    made = status(BOTH, result("a", Verdict.PASS), result("b", Verdict.PASS))
    assert made == ControlResult("C-1", "a title", MET, ("a", "b"))


def test_an_error_leaves_it_open_and_says_why() -> None:
    made = status(BOTH, result("a", Verdict.PASS), result("b", Verdict.ERROR, reason="forbidden"))
    assert (made.status, made.reason) == (OPEN, "b was not evaluated: forbidden")


def test_a_skip_leaves_it_open_and_says_why() -> None:
    made = status(BOTH, result("a", Verdict.PASS), result("b", Verdict.SKIP, reason="nothing there"))
    assert (made.status, made.reason) == (OPEN, "b was skipped: nothing there")


def test_what_did_not_run_leaves_it_open() -> None:
    made = status(BOTH, result("a", Verdict.PASS))
    assert (made.status, made.reason) == (OPEN, "b: it was not part of this run")


def test_what_was_not_asked_for_leaves_it_open() -> None:
    made = status(control(Answer(("a",)), Answer((), "ask for b")), result("a", Verdict.PASS))
    assert (made.status, made.reason) == (OPEN, "ask for b")


def test_a_failure_decides() -> None:
    made = status(BOTH, result("a", Verdict.FAIL, finding()), result("b", Verdict.ERROR, reason="forbidden"))
    assert (made.status, made.reason) == (NOT_MET, "")


def test_of_alternatives_one_must_pass_and_none_may_fail() -> None:
    passed, skipped = result("a", Verdict.PASS), result("b", Verdict.SKIP)
    assert status(EITHER, passed, skipped).status is MET
    assert status(EITHER, result("a", Verdict.SKIP), skipped).status is OPEN
    assert status(EITHER, passed, result("b", Verdict.FAIL, finding())).status is NOT_MET
    assert status(EITHER, passed, result("b", Verdict.ERROR)).status is OPEN


def test_could_not_look_is_not_nothing_to_look_at() -> None:
    passed = result("a", Verdict.PASS)
    unknown = result("b", Verdict.SKIP, reason="the labels of namespace shop are not known")
    for made in (EITHER, control(Answer(("a",)), also=("b",))):
        found = status(made, passed, unknown)
        assert (found.status, found.reason) == (
            OPEN, "b was skipped: the labels of namespace shop are not known",
        )  # fmt: skip
    older = "version v1.20 of the Pod Security Standards has no control appArmor; v1.30 has."
    assert status(EITHER, passed, result("b", Verdict.SKIP, reason=older)).status is MET


def test_exempted_findings_are_said() -> None:
    made = status(EITHER, result("a", Verdict.PASS, finding(exempted=True)), result("b", Verdict.PASS))
    assert (made.status, made.reason) == (MET, "met with 1 exempted finding")


def test_known_findings_are_not_accepted_ones() -> None:
    made = status(EITHER, result("a", Verdict.PASS, finding(known=True)), result("b", Verdict.PASS))
    assert (made.status, made.reason) == (NOT_MET, "1 known finding in the baseline")


def test_checks_that_answer_in_part_never_make_it_met() -> None:
    made = status(control(Answer(("a",)), manual="the rest"), result("a", Verdict.PASS))
    assert (made.status, made.reason, made.remaining) == (PARTLY, "", "the rest")


def test_what_limits_the_answer_is_said() -> None:
    made = status(
        control(Answer(("a",)), note="not in kube-system"),
        result("a", Verdict.PASS, finding(exempted=True), finding(exempted=True)),
    )
    assert made.reason == "met with 2 exempted findings; not in kube-system"


def test_without_checks_a_person_looks() -> None:
    made = status(control(manual="look at the nodes"))
    assert (made.status, made.reason, made.remaining) == (MANUAL, "look at the nodes", "")


def test_a_check_of_the_users_answers_a_manual_control_in_part() -> None:
    own = control(also=("acme.x",), manual="look at the nodes")
    assert status(own, result("acme.x", Verdict.PASS)).status is PARTLY
    assert status(own, result("acme.x", Verdict.FAIL, finding())).status is NOT_MET
    assert status(own, result("acme.x", Verdict.SKIP)).status is OPEN
    assert status(own).status is OPEN


def test_what_else_was_asked_for_must_not_be_missing_or_fail() -> None:
    beside = control(Answer(("a",)), also=("b",))
    passed = result("a", Verdict.PASS)
    assert status(beside, passed, result("b", Verdict.SKIP)).status is MET
    assert status(beside, passed, result("b", Verdict.ERROR)).status is OPEN
    assert status(beside, passed).status is OPEN
    assert status(beside, passed, result("b", Verdict.FAIL)).status is NOT_MET


def test_only_some_reasons_are_said() -> None:
    answers = tuple(Answer((), f"ask for {name}") for name in "abcde")
    assert status(control(*answers)).reason == "ask for a; ask for b; ask for c; and 2 more"


def test_results_of_a_parametrized_check_are_those_of_its_requirement() -> None:
    framework = PlannedFramework(
        "f", "F", "", "", "", (control(Answer(("a.b",))), control(Answer(("a.c[x]",))))
    )
    checks = [
        result("a.b[one]", Verdict.PASS),
        result("a.b[two]", Verdict.FAIL),
        result("a.c[x]", Verdict.PASS),
    ]
    entry = load_checks().entries["network.defaultDeny"]
    planned = [Planned(Requirement(id, ""), entry) for id in ("a.b", "a.c[x]")]
    (made,) = assess([framework], planned, checks)
    assert [c.status for c in made.controls] == [NOT_MET, MET]
    assert made.controls[0].checks == ("a.b[one]", "a.b[two]")


def test_parameters_may_have_brackets() -> None:
    framework = PlannedFramework("f", "F", "", "", "", (control(Answer(("a.b",))),))
    planned = [Planned(Requirement("a.b", ""), load_checks().entries["network.defaultDeny"])]
    for id in ("a.b[one[two]]", "a.b[[]", "a.b[one]]", "a.b[][]"):
        (made,) = assess([framework], planned, [result(id, Verdict.FAIL)])
        assert (made.controls[0].status, made.controls[0].checks) == (NOT_MET, (id,))
    both = [*planned, replace(planned[0], requirement=Requirement("a.b[x]", ""))]
    (made,) = assess(
        [framework], both, [result("a.b[x][p[q]]", Verdict.FAIL), result("a.b[y]", Verdict.PASS)]
    )
    assert (made.controls[0].status, made.controls[0].checks) == (MET, ("a.b[y]",))


def test_a_framework_says_of_itself_what_was_planned() -> None:
    (made,) = assess([PlannedFramework("f", "F", "1.2", "a page", "2026-01-01", ())], [], [])
    assert made == FrameworkResult("f", "F", "1.2", "a page", "2026-01-01", ())


def test_a_control_that_nothing_answers_has_its_title_and_is_open() -> None:
    assert status(control()) == ControlResult("C-1", "a title", OPEN)


def test_what_a_scope_leaves_out_is_left_to_do_unless_the_check_sees_the_whole_cluster() -> None:
    ids = ("network.defaultDeny", "admission.policies.minCount")
    entries = load_checks().entries
    planned = [Planned(Requirement(id, ""), entries[id]) for id in ids]
    controls = (
        control(Answer((ids[0],))),
        control(Answer((ids[0],)), manual="look at the nodes"),
        control(Answer((ids[1],))),
        control(Answer((ids[1],)), also=(ids[0],)),
    )
    framework = PlannedFramework("f", "F", "", "", "", controls)
    checks = [result(id, Verdict.PASS) for id in ids]
    (scoped,) = assess(
        [framework], planned, checks, [NotEvaluated("namespaceScope", "3 namespaces are out of scope")]
    )
    assert [(c.status, c.remaining) for c in scoped.controls] == [
        (PARTLY, "3 namespaces are out of scope"),
        (PARTLY, "look at the nodes; 3 namespaces are out of scope"),
        (MET, ""),
        (PARTLY, "3 namespaces are out of scope"),
    ]
    (whole,) = assess([framework], planned, checks)
    assert [c.status for c in whole.controls] == [MET, PARTLY, MET, MET]


@pytest.mark.parametrize(
    ("key", "limited"),
    [
        ("manifests", "standard enforce deny cluster pods services"),  # charts that are not rendered
        ("workloads", "standard pods"),  # pods in kinds that nobody knows
        ("podSecurity.version", "standard"),  # standards that are not known yet
        ("podSecurity.enforce", "enforce"),  # labels that no file has
        ("namespaceScope", "standard enforce deny pods services"),
        ("files", ""),
        ("annotationExemptions", ""),
        ("timeBasedActivation", ""),
    ],
)
def test_what_was_not_evaluated_is_left_to_do_by_all_that_rests_on_it(key: str, limited: str) -> None:
    ids = {
        "standard": "podSecurity.standard[privileged]",
        "enforce": "podSecurity.enforce",
        "deny": "network.defaultDeny",
        "cluster": "admission.policies.minCount",
        "pods": "workloads.containers.forbidden",
        "services": "network.allowedServiceTypes",
    }
    checkset = load_checks()
    planned = [Planned(Requirement(id, ""), checkset.entries[id]) for id in ids.values()]
    controls = tuple(replace(control(Answer((id,))), id=name) for name, id in ids.items())
    checks = [result(id, Verdict.PASS) for id in ids.values()]
    framework = PlannedFramework("f", "F", "", "", "", controls)
    (made,) = assess([framework], planned, checks, [NotEvaluated(key, "why")])
    partly = {c.id for c in made.controls if (c.status, c.remaining) == (PARTLY, "why")}
    assert partly == set(limited.split())
    assert {c.id for c in made.controls if (c.status, c.remaining) == (MET, "")} == ids.keys() - partly
    failed = [result(id, Verdict.FAIL) for id in ids.values()]
    (made,) = assess([framework], planned, failed, [NotEvaluated(key, "why")])
    assert {c.status for c in made.controls} == {NOT_MET}


def test_fixtures_of_a_users_may_look_at_pods() -> None:
    def built_in(services: object, findings: object) -> None: ...
    def mine(labelled: object, findings: object) -> None: ...

    entry = load_checks().entries["network.defaultDeny"]
    assert [looks_at_pods(replace(entry.check, func=func)) for func in (built_in, mine)] == [False, True]


def test_score_and_coverage_count_halves() -> None:
    def made(status: ControlStatus, remaining: str = "") -> ControlResult:
        return ControlResult("x", "", status, remaining=remaining)

    controls = (
        made(MET),
        made(PARTLY, "rest"),
        made(NOT_MET),
        made(NOT_MET, "rest"),
        made(OPEN),
        made(MANUAL),
    )
    summary = FrameworkResult("f", "F", controls=controls).summary
    assert (summary.score, summary.coverage) == (37.5, 50.0)
    only = FrameworkResult("f", "F", controls=(made(PARTLY, "rest"),)).summary
    assert (only.score, only.coverage) == (50.0, 50.0)
    nothing = FrameworkResult("f", "F", controls=(made(OPEN), made(MANUAL))).summary
    assert (nothing.score, nothing.coverage) == (None, 0.0)


def test_results_come_back_from_plain_data() -> None:
    made = FrameworkResult(
        "f", "F", "1", "S", "2026", (ControlResult("x", "t", PARTLY, ("a",), "r", "rest"),)
    )
    assert FrameworkResult.from_wire(made.to_wire()) == made


IDS = tuple("abcde")
findings = st.lists(st.builds(finding, exempted=st.booleans(), known=st.booleans()), max_size=2)
results = st.lists(
    st.builds(
        lambda id, verdict, found: result(id, verdict, *found),
        st.sampled_from(IDS),
        st.sampled_from(Verdict),
        findings,
    ),
    max_size=8,
)
answers = st.lists(
    st.one_of(
        st.just(Answer((), "not required")),
        st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True).map(
            lambda ids: Answer(tuple(ids))
        ),
    ),
    max_size=3,
)
controls = st.builds(
    lambda a, also, manual: control(*a, also=tuple(also), manual=manual),
    answers,
    st.lists(st.sampled_from(IDS), max_size=2, unique=True),
    st.sampled_from(("", "a person looks")),
)


@given(controls, results)
def test_what_was_not_evaluated_never_looks_met(planned: PlannedControl, found: list[CheckResult]) -> None:
    made = status(planned, *found)
    by_id = {id: [r for r in found if r.id == id] for id in IDS}
    relevant = {id for a in planned.answers for id in a.requirements} | set(planned.also)
    concerned = [r for id in relevant for r in by_id[id]]
    if made.status in (MET, PARTLY):
        assert (made.status is PARTLY) == bool(planned.manual)
        assert planned.answers or planned.also
        for answer in planned.answers:
            assert answer.requirements
            assert all(by_id[id] for id in answer.requirements)
            assert any(r.verdict is Verdict.PASS for id in answer.requirements for r in by_id[id])
        assert all(by_id[id] for id in planned.also)
        assert any(r.verdict is Verdict.PASS for r in concerned)
        assert not any(r.verdict in (Verdict.FAIL, Verdict.ERROR) for r in concerned)
        assert all(f.exemption is not None for r in concerned for f in r.findings)
    elif made.status is NOT_MET:
        assert any(
            r.verdict is Verdict.FAIL or any(f.exemption is None for f in r.findings) for r in concerned
        )
    else:
        assert made.reason or not (planned.answers or planned.manual)
    if any(r.verdict is Verdict.FAIL for r in concerned):
        assert made.status is NOT_MET


@given(controls, results, st.sampled_from((Verdict.ERROR, Verdict.SKIP, None)), st.data())
def test_losing_a_pass_never_makes_it_met(
    planned: PlannedControl, found: list[CheckResult], instead: Verdict | None, data: st.DataObject
) -> None:
    passes = [r for r in found if r.verdict is Verdict.PASS]
    if not passes:
        return
    lost = data.draw(st.sampled_from(passes))
    rest = [r for r in found if r is not lost]
    after = [*rest, result(lost.id, instead)] if instead else rest
    if status(planned, *after).status in (MET, PARTLY) and lost.findings == ():
        assert status(planned, *found).status in (MET, PARTLY)


@given(st.lists(st.sampled_from([(s, r) for s in ControlStatus for r in ("", "rest")]), max_size=20))
def test_only_a_framework_that_is_wholly_met_reaches_100(pairs: list[tuple[ControlStatus, str]]) -> None:
    made = [
        ControlResult("x", "", s, remaining="rest" if s is PARTLY else "" if s is MET else r)
        for s, r in pairs
    ]
    summary = FrameworkResult("f", "F", controls=tuple(made)).summary
    full = [c for c in made if c.status is MET or (c.status is NOT_MET and not c.remaining)]
    evaluated = [c for c in made if c.evaluated]
    assert (summary.score == 100.0) == bool(evaluated and all(c.status is MET for c in evaluated))
    assert (summary.coverage == 100.0) == bool(made and len(full) == len(made))
    assert summary.total == len(made)
