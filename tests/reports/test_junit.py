from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import junitparser
import pytest
import xmlschema

from pytest_kspec.reports import writer
from pytest_kspec.results.order import canonical
from pytest_kspec.results.result import ScanResult
from tests.reports import results
from tests.reports.schemas import junit_schema

RESULTS = [results.one(), results.compliant(), results.fleet(5, 40, 3), results.scan()]
IDS = ["one", "compliant", "fleet", "empty"]


def parse(result: ScanResult) -> ElementTree.Element:
    return ElementTree.fromstring(writer.render(result, "junit"))


def test_valid_for_jenkins() -> None:
    schema = xmlschema.XMLSchema(str(junit_schema()))
    for result in RESULTS:
        schema.validate(writer.render(result, "junit").decode())


@pytest.mark.parametrize("result", RESULTS, ids=IDS)
def test_counts_add_up(result: ScanResult) -> None:
    root = parse(result)
    for suite, cluster in zip(root, canonical(result).clusters, strict=True):
        cases = suite.findall("testcase")
        counted = {
            "tests": len(cases),
            "failures": len(suite.findall("testcase/failure")),
            "errors": len(suite.findall("testcase/error")),
            "skipped": len(suite.findall("testcase/skipped")),
        }
        assert {name: int(suite.attrib[name]) for name in counted} == counted
        assert counted["failures"] == cluster.summary.failed
        assert counted["errors"] == cluster.summary.errors
        assert counted["skipped"] == cluster.summary.skipped
        assert counted["tests"] == len(cluster.checks)
    for name in ("tests", "failures", "errors"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root)


def test_junitparser_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    writer.write(results.one(), writer.ReportFile("junit", str(path)))
    (suite,) = junitparser.JUnitXml.fromfile(str(path))
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == (
        "strict.prod-eu",
        13,
        4,
        2,
        2,
    )
    assert {p.name: p.value for p in suite.properties()}["score"] == "43.5"


def test_names_are_unique() -> None:
    same = (results.cluster(), results.cluster(), results.cluster(spec_path="other/strict.yaml"))
    twice = results.cluster("twice", checks=results.checks()[:2] * 3)
    root = parse(results.scan(*same, twice))
    assert [suite.attrib["name"] for suite in root] == [
        "strict (other/strict.yaml).prod-eu",
        "strict (specs/strict.yaml).prod-eu",
        "strict (specs/strict.yaml).prod-eu #2",
        "strict.twice",
    ]
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    assert ("strict.twice", "podSecurity.standard[privileged] #3") in names


def test_class_names_have_one_dot() -> None:
    """Jenkins takes what follows the last dot for the class, and the rest for its package."""
    names = ("eu.example.com", "eu_example.com", "us.example.com")
    made = [results.cluster(name, spec_name="strict v1.2") for name in names]
    same = [results.cluster("eu.example.com", spec_path="b.yaml"), results.cluster("eu.example.com")]
    root = parse(results.scan(*made, *same))
    assert [suite.attrib["name"] for suite in root] == [
        "strict (b.yaml).eu.example.com",
        "strict (specs/strict.yaml).eu.example.com",
        "strict v1.2.eu.example.com",
        "strict v1.2.eu_example.com",
        "strict v1.2.us.example.com",
    ]
    classes = [{case.attrib["classname"] for case in suite.iter("testcase")} for suite in root]
    assert classes == [
        {"strict (b_yaml).eu_example_com"},
        {"strict (specs/strict_yaml).eu_example_com"},
        {"strict v1_2.eu_example_com"},
        {"strict v1_2.eu_example_com #2"},
        {"strict v1_2.us_example_com"},
    ]


def test_a_failure_says_all_that_is_needed() -> None:
    check = next(c for c in results.checks() if c.id == "podSecurity.standard[runAsNonRoot]")
    failure = parse(results.scan(results.cluster(checks=(check,)))).find(".//failure")
    assert failure is not None
    assert failure.attrib == {
        "type": "medium",
        "message": "Deployment shop/cart: container mesh-proxy: securityContext.runAsNonRoot is unset",
    }
    assert failure.text == (
        "Containers run as a user other than root [medium]\n"
        "1 finding:\n"
        "- Deployment shop/cart ×3: container mesh-proxy: securityContext.runAsNonRoot is unset\n"
        "    object:   Pod shop/cart-6d5f9c7b4-x2x9v\n"
        "    field:    spec.containers[mesh-proxy].securityContext.runAsNonRoot\n"
        "    actual:   unset\n"
        "    expected: true\n"
        "fix: Set securityContext.runAsNonRoot to true for the pod or for each container.\n"
        "required by: specs/strict.yaml:12:5"
    )


def test_error_skip_and_exempted() -> None:
    cases = {case.attrib["name"]: case for case in parse(results.one()).iter("testcase")}
    error = cases["rbac.forbiddenRules[core/secrets]"].find("error")
    skipped = cases["network.allowedServiceTypes"].find("skipped")
    out = cases["podSecurity.standard[hostNamespaces]"].find("system-out")
    assert error is not None
    assert error.attrib["message"].startswith("not evaluated: may not list clusterrolebindings")
    assert skipped is not None
    assert skipped.attrib["message"] == "no Services"
    assert out is not None
    assert out.text == (
        "1 finding exempted:\n"
        "- DaemonSet kube-system/cni ×12: hostNetwork is true\n"
        "    field:    spec.template.spec.hostNetwork\n"
        "    actual:   true\n"
        "    expected: unset or false\n"
        "    exempted by cni until no end date: The network plugin configures the host's interfaces"
    )


def test_no_character_breaks_the_file() -> None:
    everything = "".join(map(chr, range(0x10000))) + "]]>&<\U0001f4a9"
    owner = results.ref("Pod", everything, everything)
    bad = results.finding(owner, everything, everything, everything, everything)
    check = results.check(everything, everything, "low", "fail", remediation=everything, findings=(bad,))
    skip = results.check("skip", "t", "low", "skip", reason=everything)
    root = parse(results.scan(results.cluster(everything, checks=(check, skip), spec_name=everything)))
    assert [root.attrib[name] for name in ("tests", "failures", "errors")] == ["2", "1", "0"]


def test_no_name_of_a_cluster_misleads() -> None:
    text = ElementTree.tostring(parse(results.scan(results.cluster("x\x1b\u202ey"))), encoding="unicode")
    assert "\u202e" not in text
    assert "x\\x1b\\u202ey" in text
