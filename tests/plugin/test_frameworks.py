"""Frameworks of a run: in the JSON report and the terminal, whatever runs it."""

from __future__ import annotations

from typing import Any

from tests.plugin.conftest import SPEC, Project

OWN = """\
  compliance:
    frameworks:
    - name: Rules
      controls:
      - {id: R-1, title: Services, mappings: [{check: network.allowedServiceTypes}]}
      - {id: R-2, title: Old, mappings: [{check: network.validation}]}
    - {name: pss}
"""


def frameworks(project: Project, cluster: int = 0) -> dict[str, dict[str, Any]]:
    return {f["id"]: f for f in project.result()["clusters"][cluster]["frameworks"]}


def controls(framework: dict[str, Any]) -> dict[str, str]:
    return {control["id"]: control["status"] for control in framework["controls"]}


def test_every_cluster_has_its_frameworks(project: Project) -> None:
    project.run(clusters=("./prod", "./stage"))
    for index, expected in enumerate(("notMet", "met")):
        found = frameworks(project, index)
        assert list(found) == sorted(found)
        assert controls(found["pod-security-standards"])["baseline/privileged"] == expected
        assert controls(found["pod-security-standards"])["restricted/runAsNonRoot"] == "notEvaluated"
        assert controls(found["cis-kubernetes-1.10"])["1.1.1"] == "manual"


def test_those_that_the_specification_names(project: Project) -> None:
    project.write("strict.yaml", SPEC + OWN)
    out = project.run("-n", "2")
    found = frameworks(project)
    assert list(found) == ["spec/rules", "pod-security-standards"]
    assert controls(found["spec/rules"]) == {"R-1": "notMet", "R-2": "notEvaluated"}
    assert found["spec/rules"]["summary"] == {
        "met": 0,
        "partlyMet": 0,
        "notMet": 1,
        "notEvaluated": 1,
        "manual": 0,
        "score": 0.0,
        "coverage": 50.0,
    }
    out.stdout.fnmatch_lines(["*Rules: score 0.0, coverage 50.0 %"])
    (noted,) = project.result()["clusters"][0]["notEvaluated"]
    assert "'network.validation': no check has this id" in noted["reason"]
    assert noted["location"] == "strict.yaml:14:43"


def test_a_part_of_a_run_meets_nothing_that_it_left_out(project: Project) -> None:
    project.run("-k", "privileged", clusters=("./stage",))
    found = frameworks(project)
    cis = {control["id"]: control for control in found["cis-kubernetes-1.10"]["controls"]}
    assert cis["5.2.2"]["status"] == "notEvaluated"
    assert cis["5.2.2"]["reason"] == "podSecurity.enforce: it was not part of this run"
    assert controls(found["pod-security-standards"])["baseline/privileged"] == "met"


def test_results_carry_the_controls_that_they_answer(project: Project) -> None:
    project.run()
    (check,) = [
        c for c in project.result()["clusters"][0]["checks"] if c["id"] == "podSecurity.standard[privileged]"
    ]
    assert check["controls"]["cis-kubernetes-1.10"] == ["5.2.2"]
    assert check["controls"]["pod-security-standards"] == ["baseline/privileged"]


def test_what_is_out_of_scope_is_not_met(project: Project) -> None:
    project.write("strict.yaml", SPEC + "  namespaceScope: {excludeNamespaces: [web]}\n")
    project.write(
        "prod/more.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nspec: {containers: [{name: a}]}\n",
    )
    project.run()
    (control,) = [
        c
        for c in frameworks(project)["pod-security-standards"]["controls"]
        if c["id"] == "baseline/privileged"
    ]
    assert control["status"] == "partlyMet"
    assert control["remaining"] == "1 of 2 namespaces are out of scope and not examined: web"
