"""`namespaceScope` and `timeBasedActivation` in a scan: what is left out is said, and never passes."""

from __future__ import annotations

from typing import Any

import pytest

from builtin_checks.network.test_required_policies import test_required_policies as required_policies
from builtin_checks.observability.test_audit_log import test_audit_log as audit_log
from builtin_checks.pod_security.test_privileged import test_privileged as privileged
from builtin_checks.rbac.test_forbidden_rules import test_forbidden_rules as forbidden_rules
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.testing import evaluate
from tests.checks.objects import binding, namespace, obj, policy, role, rule
from tests.plugin.conftest import MANIFESTS, Project


def spec(extra: str) -> str:
    return (
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: strict, version: 1.0.0}\nspec:\n"
        "  kubernetes: {minVersion: '1.30'}\n  podSecurity: {enforce: baseline}\n"
        f"  network: {{allowedServiceTypes: [ClusterIP]}}\n{extra}"
    )


def pod(name: str, ns: str, **context: Any) -> dict[str, Any]:
    return obj("v1", "Pod", name, ns, spec={"containers": [{"name": "c", "securityContext": context}]})


def one(results: list[CheckResult]) -> CheckResult:
    (result,) = results
    return result


LABELLED = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}


class TestScope:
    def test_only_objects_in_scope_are_examined(self) -> None:
        objects = [
            pod("a", "shop", privileged=True),
            pod("b", "shop"),
            pod("c", "kube-system", privileged=True),
        ]
        asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": {"excludeNamespaces": ["kube-*"]}}
        result = one(evaluate(privileged, objects=objects, spec=asked))
        assert [(f.resource.namespace, f.resource.name) for f in result.findings] == [("shop", "a")]
        assert result.examined == 2

    def test_labels_of_namespaces(self) -> None:
        objects = [
            obj("v1", "Namespace", "shop", labels={"env": "prod"}),
            obj("v1", "Namespace", "play", labels={"env": "test"}),
            pod("a", "shop", privileged=True),
            pod("b", "play", privileged=True),
        ]
        asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": LABELLED}
        result = one(evaluate(privileged, objects=objects, spec=asked))
        assert [f.resource.name for f in result.findings] == ["a"]

    def test_labels_that_cannot_be_read_are_an_error(self) -> None:
        asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": LABELLED}
        objects = [pod("a", "shop", privileged=True)]
        result = one(evaluate(privileged, objects=objects, spec=asked, denied=["namespaces"]))
        assert (result.verdict, result.findings) == (Verdict.ERROR, ())
        missing = one(evaluate(privileged, objects=objects, spec=asked, kind="manifests"))
        assert missing.verdict is Verdict.ERROR
        assert "the Namespace shop does not exist. Add the Namespace object." in missing.reason

    def test_names_need_no_labels(self) -> None:
        asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": {"includeNamespaces": ["shop"]}}
        objects = [pod("a", "shop", privileged=True)]
        result = one(evaluate(privileged, objects=objects, spec=asked, denied=["namespaces"]))
        assert result.verdict is Verdict.FAIL

    def test_with_nothing_in_scope_nothing_passes(self) -> None:
        asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": {"includeNamespaces": ["other"]}}
        result = one(evaluate(privileged, objects=[pod("a", "shop", privileged=True)], spec=asked))
        assert (result.verdict, result.reason) == (Verdict.SKIP, "nothing there to examine")

    def test_what_is_granted_in_the_whole_cluster_counts(self) -> None:
        """A RoleBinding ends at its namespace; a ClusterRoleBinding grants in those in scope too."""
        secrets = rule("get", "", "secrets")
        objects = [
            role("reader", secrets),
            binding("all", "ClusterRole/reader", "User/ann"),
            binding("here", "ClusterRole/reader", "User/bob", ns="shop"),
            binding("there", "ClusterRole/reader", "User/cid", ns="play"),
        ]
        asked = {
            "rbac": {"forbiddenRules": [{"resource": "secrets", "verbs": ["get"]}]},
            "namespaceScope": {"includeNamespaces": ["shop"]},
        }
        result = one(evaluate(forbidden_rules, objects=objects, spec=asked))
        assert [f.resource.name for f in result.findings] == ["all", "here"]

    def test_malformed_objects_out_of_scope_are_no_error(self) -> None:
        broken = obj("v1", "Pod", "x", "play", spec={"containers": {"a": 1}})
        asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": {"includeNamespaces": ["shop"]}}
        result = one(evaluate(privileged, objects=[broken, pod("a", "shop")], spec=asked))
        assert result.verdict is Verdict.PASS

    def test_a_namespace_out_of_scope_exists(self) -> None:
        asked = {
            "network": {"requiredPolicies": [{"name": "dns", "namespaces": ["shop", "play"]}]},
            "namespaceScope": {"includeNamespaces": ["shop"]},
        }
        objects = [namespace("shop"), namespace("play"), policy("dns", "shop")]
        assert one(evaluate(required_policies, objects=objects, spec=asked)).verdict is Verdict.PASS

    def test_a_check_about_the_cluster_is_not_limited(self) -> None:
        server = obj(
            "v1",
            "Pod",
            "kube-apiserver-a",
            "kube-system",
            spec={"containers": [{"name": "kube-apiserver", "command": ["kube-apiserver"]}]},
        )
        asked = {
            "observability": {"logging": {"auditLog": {"required": True}}},
            "namespaceScope": {"excludeNamespaces": ["kube-system"]},
        }
        result = one(evaluate(audit_log, objects=[server], spec=asked))
        assert (result.verdict, result.examined) == (Verdict.FAIL, 1)

    @pytest.mark.parametrize("args", [(), ("-n", "2")])
    def test_the_report_says_what_is_left_out(self, project: Project, args: tuple[str, ...]) -> None:
        project.write("strict.yaml", spec("  namespaceScope: {includeNamespaces: [shop]}\n"))
        project.write("prod/more.yaml", MANIFESTS.replace("web", "shop"))
        out = project.run(*args)
        (cluster,) = project.result()["clusters"]
        assert cluster["notEvaluated"] == [
            {
                "key": "namespaceScope",
                "reason": "1 of 2 namespaces are out of scope and not examined: web",
                "location": "strict.yaml:8:3",
                "names": ["web"],
            }
        ]
        findings = [f["resource"] for check in cluster["checks"] for f in check["findings"]]
        assert {f["namespace"] or f["name"] for f in findings} == {"shop"}
        out.stdout.fnmatch_lines(["*namespaceScope: 1 of 2 namespaces are out of scope*"])


class TestTime:
    LATER = "  timeBasedActivation:\n    enabled: true\n    activePeriods: [{startDate: 2999-01-01}]\n"
    PAST = "  timeBasedActivation:\n    enabled: true\n    activePeriods: [{endDate: 2001-01-01}]\n"
    NOW = "  timeBasedActivation:\n    enabled: true\n    activePeriods: [{startDate: 2001-01-01}]\n"

    @pytest.mark.parametrize("args", [(), ("-n", "2")])
    def test_outside_of_its_time_nothing_passes(self, project: Project, args: tuple[str, ...]) -> None:
        project.write("strict.yaml", spec(self.LATER))
        out = project.run(*args)
        (cluster,) = project.result()["clusters"]
        assert {(c["verdict"], c["reason"]) for c in cluster["checks"]} == {
            ("skip", "not active until 2999-01-01T00:00+00:00 (timeBasedActivation)")
        }
        assert cluster["summary"]["score"] is None
        assert cluster["notEvaluated"] == [
            {
                "key": "timeBasedActivation",
                "reason": "not active until 2999-01-01T00:00+00:00",
                "location": "strict.yaml:8:3",
            }
        ]
        out.stdout.fnmatch_lines(["*NOTHING EVALUATED*"])
        out.stdout.fnmatch_lines(["*timeBasedActivation: not active until 2999-01-01T00:00+00:00*"])

    def test_when_its_time_is_over(self, project: Project) -> None:
        project.write("strict.yaml", spec(self.PAST))
        project.run()
        assert {c["reason"] for c in project.result()["clusters"][0]["checks"]} == {
            "no longer active (timeBasedActivation)"
        }

    def test_within_its_time(self, project: Project) -> None:
        project.write("strict.yaml", spec(self.NOW))
        out = project.run()
        assert out.ret == pytest.ExitCode.TESTS_FAILED
        assert project.result()["clusters"][0]["notEvaluated"] == []

    def test_no_check_is_called(self, project: Project) -> None:
        project.write("strict.yaml", spec(self.LATER))
        project.write(
            "checks/test_own.py",
            "import pytest\nfrom pytest_kspec import check\n\n"
            "@pytest.fixture\ndef broken():\n    raise RuntimeError('called')\n\n"
            "@check(id='own.check', title='T', severity='low', remediation='r')\n"
            "def test_own(broken, findings):\n    '''Why.'''\n    raise RuntimeError('called')\n",
        )
        project.run("--kspec-checks=checks")
        assert project.verdicts()["own.check"] == "skip"


def test_bases_in_a_run(project: Project) -> None:
    """What a base asks for is asked for, and its file is named."""
    project.write("bases/base.yaml", spec("").replace("name: strict", "name: base"))
    project.write(
        "strict.yaml",
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: strict, version: 1.0.0}\nspec:\n"
        "  policyInheritance: {basePolicies: [bases/base.yaml]}\n  network: {allowedServiceTypes: [NodePort]}\n",
    )
    out = project.run()
    checks = {c["id"]: c for c in project.result()["clusters"][0]["checks"]}
    assert checks["network.allowedServiceTypes"]["verdict"] == "pass"
    assert checks["podSecurity.standard[privileged]"]["verdict"] == "fail"
    assert checks["podSecurity.standard[privileged]"]["location"] == "bases/base.yaml:6:17"
    out.stdout.fnmatch_lines(["*podSecurity.standard?privileged?*"])
