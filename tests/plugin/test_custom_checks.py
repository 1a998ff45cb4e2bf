from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

LABEL = '''
from pytest_kspec import check

@check(id="acme.team-label", title="Every workload names its team", severity="low",
       controls={"acme": ["OPS-7"]}, remediation="Add the label team=<name>.")
def test_team_label(workloads, findings):
    """The pager reads this label."""
    for workload in workloads:
        if "owner" not in workload.labels:
            findings.add(workload, path="metadata.labels.owner", expected="a team name")
'''

MORE = '''
import pytest
from pytest_kspec import check

@pytest.fixture
def limit():
    return 0

@check(id="acme.assert", title="Few services", severity="medium", remediation="Delete some.")
def test_services(services, limit):
    """A bare assert is one finding about the cluster."""
    assert len(services) <= limit

@check(id="acme.param", title="Namespaces exist", severity="low", remediation="Create it.")
@pytest.mark.parametrize("name", ["web", "db"])
def test_namespace(namespaces, findings, name):
    """Parametrised as any test."""
    if name not in {n.name for n in namespaces}:
        findings.add(None, message=f"namespace {name} is missing")

@check(id="acme.conftest", title="Fixture of a conftest", severity="low", remediation="None.")
def test_conftest(cluster, from_conftest, requirement):
    """Fixtures of conftest.py beside the checks."""
    assert from_conftest == 7
    assert requirement.id == "acme.conftest"
    assert cluster.source == "manifests"

@check(id="acme.broken", title="It raises", severity="low", remediation="None.")
def test_broken():
    """A defect in a check is an error, never a pass."""
    raise RuntimeError("boom")

@check(id="acme.lost", title="Misspelt", severity="low", remediation="None.")
def test_lost(workloadz):
    """Nobody has this fixture."""
    print(workloadz)

@check(id="acme.marked", title="Skipped by mark", severity="low", remediation="None.")
@pytest.mark.skip(reason="not today")
def test_marked():
    """Marks work."""
    print("not today")
'''


def test_a_check_of_ten_lines_is_a_row_beside_the_others(project: Project) -> None:
    project.write("checks/test_labels.py", LABEL)
    project.run("--kspec-checks=checks")
    (check,) = [c for c in project.result()["clusters"][0]["checks"] if c["id"] == "acme.team-label"]
    assert check["verdict"] == "fail"
    assert [(f["resource"]["name"], f["path"]) for f in check["findings"]] == [
        ("shop", "metadata.labels.owner")
    ]
    assert check["nodeid"] == "strict.yaml::prod::acme.team-label"


def test_asserts_fixtures_parameters_and_marks(project: Project) -> None:
    project.write("checks/test_more.py", MORE)
    project.write(
        "checks/conftest.py", "import pytest\n@pytest.fixture\ndef from_conftest():\n    return 7\n"
    )
    for args in ((), ("-n", "2")):
        project.run("--kspec-checks=checks", "-k", "acme", *args)
        assert project.verdicts() == {
            "acme.assert": "fail",
            "acme.broken": "error",
            "acme.conftest": "pass",
            "acme.lost": "error",
            "acme.marked": "skip",
            "acme.param[db]": "fail",
            "acme.param[web]": "pass",
        }
    checks = {c["id"]: c for c in project.result()["clusters"][0]["checks"]}
    assert checks["acme.assert"]["findings"][0]["message"].startswith("assert 1 <= 0")
    assert "RuntimeError: boom" in checks["acme.broken"]["reason"]
    assert checks["acme.lost"]["reason"].startswith("unknown fixture 'workloadz'")
    assert checks["acme.marked"]["reason"] == "not today"


def test_checks_named_by_the_specification(project: Project) -> None:
    project.write("checks/test_labels.py", LABEL)
    spec = (project.path / "strict.yaml").read_text() + "  checks: [checks/test_labels.py]\n"
    project.write("strict.yaml", spec)
    project.run("-k", "acme")
    assert project.verdicts() == {"acme.team-label": "fail"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (('id="acme.team-label"', 'id="network.defaultDeny"'), "already taken by"),
        (('    """The pager reads this label."""\n', ""), "no docstring"),
        (('severity="low"', 'severity="hgih"'), "unknown severity 'hgih'"),
        (("from pytest_kspec", "import nonsense_module\nfrom pytest_kspec"), "nonsense_module"),
        (("        if ", "        yield\n        if "), "no yield"),
        (("def test_team_label", "async def test_team_label"), "no async def"),
        (("def test_team_label(workloads", "def test_team_label(workloads_"), "workloads_"),
    ],
)
def test_a_check_that_is_wrong_is_an_error_that_names_it(
    project: Project, change: tuple[str, str], text: str
) -> None:
    project.write("checks/test_labels.py", LABEL.replace(*change))
    out = project.run("--kspec-checks=checks")
    assert out.ret != 0
    shown = out.stderr.str() + out.stdout.str()
    assert text in shown
    assert "test_labels.py" in shown or "acme.team-label" in shown


def test_exempted_findings_stay_visible_and_do_not_fail(project: Project) -> None:
    project.write(
        "exemptions.yaml",
        "apiVersion: kspec.dev/v1\nkind: Exemptions\nexemptions:\n"
        "- {name: shop, reason: being rewritten, approver: jo, expiresAt: 2999-01-01, namespaces: [web],\n"
        "   checks: ['podSecurity.standard[privileged]', network.allowedServiceTypes]}\n"
        "- {name: stale, reason: gone, approver: jo, expiresAt: 2999-01-01, namespaces: [other]}\n"
        "- {name: old, reason: once, approver: jo, expiresAt: 2020-01-01, namespaces: [web]}\n",
    )
    out = project.run("--kspec-exemptions=exemptions.yaml")
    assert out.ret == pytest.ExitCode.OK, out.stdout.str()
    cluster = project.result()["clusters"][0]
    assert {e["name"]: e["state"] for e in cluster["exemptions"]} == {
        "shop": "used",
        "stale": "unused",
        "old": "expired",
    }
    assert cluster["summary"]["exempt"] == 2
    (check,) = [c for c in cluster["checks"] if c["id"] == "podSecurity.standard[privileged]"]
    assert check["findings"][0]["exemption"]["reason"] == "being rewritten"


PATHS = '''
from pytest_kspec import check

@check(id="acme.paths", title="Paths", severity="low", remediation="None.")
def test_paths(workloads, containers, findings):
    """A path of the object stays; a container's path is one of the pod, also in a template."""
    for workload in workloads:
        findings.add(workload, path="spec.replicas", expected="3")
    for workload, container in containers:
        findings.add(workload, path=f"{container.path}.image", actual=container.raw["image"], expected="mine")
'''


def test_paths_of_objects_and_of_containers(project: Project) -> None:
    project.write("checks/test_paths.py", PATHS)
    project.run("--kspec-checks=checks", "-k", "acme")
    (check,) = project.result()["clusters"][0]["checks"]
    assert [f["path"] for f in check["findings"]] == [
        "spec.replicas",
        "spec.template.spec.containers[app].image",
    ]


def test_an_exemption_is_not_called_unused_when_not_everything_ran(project: Project) -> None:
    project.write(
        "exemptions.yaml",
        "apiVersion: kspec.dev/v1\nkind: Exemptions\nexemptions:\n"
        "- {name: stale, reason: gone, approver: jo, expiresAt: 2999-01-01, namespaces: [other]}\n",
    )
    for args, state in (((), "unused"), (("-k", "privileged"), "unknown")):
        project.run("--kspec-exemptions=exemptions.yaml", *args)
        assert [e["state"] for e in project.result()["clusters"][0]["exemptions"]] == [state]


def test_a_check_that_returns_its_findings_has_not_reported_them(project: Project) -> None:
    project.write(
        "checks/test_returns.py",
        "from pytest_kspec import check\n"
        "@check(id='acme.returns', title='It reports', severity='low', remediation='None.')\n"
        "def test_returns(workloads):\n"
        "    '''Returned values are read by nobody.'''\n"
        "    return [w for w in workloads]\n",
    )
    out = project.run("--kspec-checks=checks", "-k", "acme")
    assert out.ret != 0
    assert project.verdicts() == {"acme.returns": "error"}


def test_a_recorded_property_never_ends_the_worker(project: Project) -> None:
    """execnet sends neither objects nor numbers below -2**31."""
    project.write(
        "checks/test_recorded.py",
        "from pytest_kspec import check\n"
        "@check(id='acme.recorded', title='t', severity='low', remediation='r')\n"
        "def test_recorded(findings, record_property):\n"
        "    '''Why.'''\n"
        "    record_property('a', object())\n"
        "    record_property('b', {'c': [-3_000_000_000, '\\ud800', 2**70, None, b'x', 0.5]})\n",
    )
    project.run("--kspec-checks=checks", "-k", "acme", "-n", "1")
    assert project.verdicts() == {"acme.recorded": "pass"}
