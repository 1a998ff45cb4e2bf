from __future__ import annotations

import json

import pytest

from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource
from tests.cluster.objects import pod
from tests.plugin.conftest import SPEC, Project

PRIVILEGED = "podSecurity.standard[privileged]"


def test_a_requirement_is_an_item_of_its_cluster(project: Project) -> None:
    out = project.run("--collect-only", "-q", clusters=("./prod", "./stage"))
    assert f"strict.yaml::prod::{PRIVILEGED}" in out.outlines
    assert f"strict.yaml::stage::{PRIVILEGED}" in out.outlines
    assert "strict.yaml::prod::network.allowedServiceTypes" in out.outlines
    assert not any("network.defaultDeny" in line for line in out.outlines)


def test_findings_fail_the_run_and_name_object_field_and_value(project: Project) -> None:
    out = project.run()
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    (check,) = [c for c in project.result()["clusters"][0]["checks"] if c["id"] == PRIVILEGED]
    assert check["verdict"] == "fail"
    (finding,) = check["findings"]
    assert finding["resource"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": "web",
        "name": "shop",
    }
    assert finding["path"] == "spec.template.spec.containers[app].securityContext.privileged"
    assert finding["actual"] is True
    assert project.verdicts()["network.allowedServiceTypes"] == "fail"


def test_a_compliant_cluster_exits_0(project: Project) -> None:
    out = project.run(clusters=("./stage",))
    assert set(project.verdicts("stage").values()) == {"pass", "skip"}
    assert out.ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    "args", [("-n", "2"), ("-n", "2", "--dist", "loadscope"), ("-n", "0"), ("-p", "no:xdist")]
)
def test_every_way_to_run_gives_the_same_result(project: Project, args: tuple[str, ...]) -> None:
    both = ("./prod", "./stage")
    project.run(clusters=both)
    expected = _timeless(project.result())
    out = project.run(*args, clusters=both)
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert _timeless(project.result()) == expected


def test_selection_by_node_id_keyword_and_mark(project: Project) -> None:
    for args in (
        (f"strict.yaml::prod::{PRIVILEGED}",),
        ("-k", "privileged"),
        ("-m", "kspec(id='podSecurity.standard[privileged]')"),
    ):
        project.run(*args)
        assert project.verdicts() == {PRIVILEGED: "fail"}, args


def test_selection_by_cluster(project: Project) -> None:
    project.run("strict.yaml::stage", clusters=("./prod", "./stage"))
    assert [c["name"] for c in project.result()["clusters"]] == ["stage"]


def test_last_failed_runs_what_failed(project: Project) -> None:
    args = ("--kspec-spec=strict.yaml", "--kspec-cluster=./prod", "--kspec-report=json:result.json")
    project.pytester.runpytest_subprocess(*args)
    project.pytester.runpytest_subprocess(*args, "--lf")
    assert set(project.verdicts().values()) == {"fail"}
    assert PRIVILEGED in project.verdicts()


@pytest.mark.parametrize("args", [("-x",), ("-x", "-n", "2")])
def test_what_did_not_run_is_an_error_in_the_report(project: Project, args: tuple[str, ...]) -> None:
    out = project.run(*args)
    assert out.ret != 0
    found = project.result()["clusters"][0]["checks"]
    not_run = [c for c in found if c["verdict"] == "error"]
    assert not_run
    assert all(c["reason"].startswith("not run") for c in not_run)


def test_failures_below_the_threshold_do_not_fail_the_run(project: Project) -> None:
    args = ("-k", "allowedServiceTypes")
    assert project.run(*args).ret == pytest.ExitCode.TESTS_FAILED
    assert project.run(*args, "--kspec-fail-on", "high").ret == pytest.ExitCode.OK
    assert project.verdicts() == {"network.allowedServiceTypes": "fail"}
    assert project.run("--kspec-fail-on", "high").ret == pytest.ExitCode.TESTS_FAILED


def test_a_test_of_the_user_that_fails_is_not_forgiven(project: Project) -> None:
    project.write("test_own.py", "def test_own():\n    assert False\n")
    out = project.run(
        "-k", "allowedServiceTypes or own", "--kspec-fail-on", "high", "test_own.py", "strict.yaml"
    )
    assert out.ret == pytest.ExitCode.TESTS_FAILED


def test_wrong_options_and_specifications_are_usage_errors(project: Project) -> None:
    project.write(
        "bad.yaml", project.path.joinpath("strict.yaml").read_text().replace("network:", "netwrok:")
    )
    for args, text in (
        (("--kspec-spec=bad.yaml",), "Did you mean 'network'?"),
        (("--kspec-spec=none.yaml",), "the specification does not exist"),
        (("--kspec-fail-on=hihg",), "Did you mean 'high'?"),
        (("--kspec-report=jsn:x",), "Did you mean 'json'?"),
        (("--kspec-cluster=",), "--kspec-cluster"),
    ):
        # Beside another cluster, one that cannot be opened is an error of its own.
        clusters = () if "nowhere" in args[0] else ("./prod",)
        out = project.run(*args, clusters=clusters)
        assert out.ret == pytest.ExitCode.USAGE_ERROR, args
        assert text in out.stderr.str(), args


def test_a_specification_named_as_tests_are_says_how_it_is_named(project: Project) -> None:
    project.write("test_own.py", "def test_own():\n    pass\n")
    out = project.pytester.runpytest_subprocess("strict.yaml")
    assert out.ret == pytest.ExitCode.USAGE_ERROR
    assert "Specifications are named with an option: pytest --kspec-spec strict.yaml" in out.stderr.str()
    project.write("values.yaml", "replicas: 1\n")
    for other in ("nothing.py", "values.yaml"):
        assert "--kspec-spec" not in project.pytester.runpytest_subprocess(other).stderr.str()


def test_ini_keys(project: Project) -> None:
    project.write(
        "pytest.ini",
        "[pytest]\nkspec_spec = strict.yaml\nkspec_cluster = ./prod\nkspec_report = json:result.json\n",
    )
    project.pytester.runpytest_subprocess()
    assert project.verdicts()[PRIVILEGED] == "fail"
    result = json.loads((project.pytester.path / "result.json").read_text())
    assert result["clusters"][0]["spec"]["path"] == "strict.yaml"  # as on the command line, on every machine


@pytest.mark.parametrize(("version", "said"), [("v1.38.1", True), ("v1.37.9-eks-1", False)])
def test_a_cluster_that_is_newer_than_the_known_standards(project: Project, version: str, said: bool) -> None:
    record(MemorySource([pod("a")], name="new", version=version), project.path / "new")
    project.run("--kspec-report=json:new.json", clusters=("./new",))
    (cluster,) = json.loads((project.path / "new.json").read_text())["clusters"]
    text = "the standards of v1.38 are not known to this version: those of v1.37 are applied"
    assert [n["reason"] for n in cluster["notEvaluated"]] == ([text] if said else [])


def test_the_terminal_shows_a_summary_by_cluster_and_no_failure_sections(project: Project) -> None:
    out = project.run(clusters=("./prod", "./stage"))
    text = out.stdout.str()
    assert "FAILURES" not in text
    assert "privileged" in text
    assert "spec.template.spec.containers[app].securityContext.privileged" in text.replace("\n", "").replace(
        " ", ""
    )
    out.assert_outcomes(
        failed=2, passed=2 * len(project.verdicts()) - 2 - _skipped(project), skipped=_skipped(project)
    )


def test_a_worker_that_dies_leaves_no_pass_behind(project: Project) -> None:
    project.write(
        "checks/test_dies.py",
        "import os\n"
        "from pytest_kspec import check\n"
        "@check(id='acme.dies', title='It lives', severity='low', remediation='None.')\n"
        "def test_dies(findings):\n"
        "    '''It kills its worker.'''\n"
        "    os._exit(3)\n",
    )
    out = project.run("--kspec-checks=checks", "-n", "2")
    assert out.ret != 0
    assert project.verdicts()["acme.dies"] == "error"


def test_a_report_that_cannot_be_written_fails_the_run_and_keeps_the_others(project: Project) -> None:
    out = project.run("--kspec-report=html:/dev/full", clusters=("./stage",))
    assert out.ret != 0
    assert project.verdicts("stage")


def test_without_an_option_the_plugin_imports_nothing_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n"
        "def test_it():\n"
        "    heavy = ('pydantic', 'yaml', 'msgspec', 'kubernetes', 'pytest_kspec.session')\n"
        "    assert [m for m in heavy if m in sys.modules] == []\n"
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_fixtures_of_the_plugin_do_not_exist_without_an_option(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(cluster):\n    pass\n")
    pytester.runpytest_subprocess().stdout.fnmatch_lines(["*fixture 'cluster' not found*"])


def _skipped(project: Project) -> int:
    return sum(v == "skip" for c in ("prod", "stage") for v in project.verdicts(c).values())


def _timeless(result: dict[str, object]) -> object:
    from copy import deepcopy

    data = deepcopy(result)
    data["startedAt"] = data["finishedAt"] = ""
    for cluster in data["clusters"]:  # type: ignore[attr-defined]
        for check in cluster["checks"]:
            check["durationSeconds"] = 0
    return data


def test_ctrl_c_reports_what_ran_and_nothing_else_as_passed(project: Project) -> None:
    project.write(
        "checks/test_stop.py",
        "import signal\n"
        "from pytest_kspec import check\n"
        "@check(id='network.zz-stop', title='It goes on', severity='low', remediation='None.')\n"
        "def test_stop(findings):\n"
        "    '''As if the user had pressed Ctrl-C.'''\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except BaseException:\n"
        "        findings.skip('handled')\n",
    )
    out = project.run("--kspec-checks=checks")
    assert out.ret == pytest.ExitCode.INTERRUPTED
    verdicts = project.verdicts()
    assert verdicts["network.allowedServiceTypes"] == "fail"
    assert verdicts["network.zz-stop"] == "error"
    assert verdicts[PRIVILEGED] == "error"


def test_a_check_that_raises_keyboard_interrupt_is_an_error_and_the_run_goes_on(project: Project) -> None:
    project.run()
    expected = project.verdicts()
    project.write(
        "checks/test_raises.py",
        "import pytest\n"
        "from pytest_kspec import check\n"
        "@pytest.fixture\n"
        "def interrupts():\n"
        "    raise KeyboardInterrupt\n"
        "@check(id='acme.raises', title='It goes on', severity='low', remediation='None.')\n"
        "def test_raises(findings):\n"
        "    '''Nobody pressed Ctrl-C.'''\n"
        "    raise KeyboardInterrupt\n"
        "@check(id='acme.fixture', title='It goes on', severity='low', remediation='None.')\n"
        "def test_fixture(interrupts, findings):\n"
        "    '''Nor here.'''\n"
        "    assert not interrupts\n",
    )
    out = project.run("--kspec-checks=checks")
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert project.verdicts() == expected | {"acme.raises": "error", "acme.fixture": "error"}


def test_junitxml_of_pytest_carries_the_facts(project: Project) -> None:
    import xml.etree.ElementTree as ET

    project.run("--junitxml=junit.xml")
    cases = {c.get("name"): c for c in ET.parse(project.path / "junit.xml").iter("testcase")}
    case = cases[PRIVILEGED]
    assert case.get("classname") == "strict.yaml.prod"
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties["kspec_severity"] == "critical"
    assert properties["kspec_verdict"] == "fail"
    assert properties["kspec_finding"] == (
        "Deployment web/shop: spec.template.spec.containers[app].securityContext.privileged is true, "
        "must be unset or false"
    )
    assert {
        name: properties[f"kspec_finding_1_{name}"] for name in ("kind", "namespace", "name", "path")
    } == {
        "kind": "Deployment",
        "namespace": "web",
        "name": "shop",
        "path": "spec.template.spec.containers[app].securityContext.privileged",
    }
    (failure,) = case.iter("failure")
    assert "Deployment web/shop" in (failure.text or "")


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["one", "workers"])
def test_class_names_of_junitxml_have_no_dots_of_clusters(project: Project, args: tuple[str, ...]) -> None:
    """Jenkins takes what follows the last dot for the class: `com` would hold every cluster of example.com."""
    import xml.etree.ElementTree as ET

    names = ("eu.example.com", "eu_example.com", "us.example.com")
    for name in names:
        project.write(f"{name}/all.yaml", (project.path / "prod/all.yaml").read_text())
    project.run("--junitxml=junit.xml", *args, clusters=tuple(f"./{name}" for name in names))
    cases = list(ET.parse(project.path / "junit.xml").iter("testcase"))
    expected = {
        "strict.yaml.eu_example_com",
        "strict.yaml.eu_example_com #2",
        "strict.yaml.us_example_com",
    }
    assert {c.get("classname") for c in cases} == expected
    assert len({(c.get("classname"), c.get("name")) for c in cases}) == len(cases)


def test_many_findings_have_few_properties(project: Project) -> None:
    import xml.etree.ElementTree as ET

    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: NAME, namespace: web}\nspec: {type: NodePort}\n---\n"
    )
    project.write("many/all.yaml", "".join(service.replace("NAME", f"s{n:03}") for n in range(60)))
    project.run("--junitxml=junit.xml", clusters=("./many",))
    cases = {c.get("name"): c for c in ET.parse(project.path / "junit.xml").iter("testcase")}
    names = [p.get("name") or "" for p in cases["network.allowedServiceTypes"].iter("property")]
    assert names.count("kspec_finding") == 20
    assert [name for name in names if name.endswith("_name")] == [
        f"kspec_finding_{n}_name" for n in range(1, 21)
    ]


def test_findings_are_assertions_and_errors_are_not(project: Project) -> None:
    """By this Allure and others tell what failed from what is broken."""
    project.write(
        "conftest.py",
        "import pytest\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtest_makereport(item, call):\n"
        "    report = yield\n"
        "    if call.excinfo and report.outcome == 'failed':\n"
        "        kind = 'failed' if isinstance(call.excinfo.value, AssertionError) else 'broken'\n"
        "        print(f'{item.name} is {kind}: {call.excinfo.value}')\n"
        "    return report\n",
    )
    project.write(
        "checks/test_own.py",
        "from pytest_kspec import check\n"
        "@check(id='acme.raises', title='Raises', severity='low', remediation='None.')\n"
        "def test_raises(services, findings):\n"
        "    '''An error.'''\n"
        "    raise ValueError('no')\n"
        "@check(id='acme.asserts', title='Asserts', severity='low', remediation='None.')\n"
        "def test_asserts(services, findings):\n"
        "    '''A finding.'''\n"
        "    assert not list(services), 'there are Services'\n"
        "@check(id='acme.both', title='Both', severity='low', remediation='None.')\n"
        "def test_both(services, findings):\n"
        "    '''A finding and an error.'''\n"
        "    findings.add(None, message='found')\n"
        "    findings.error('could not look at all')\n",
    )
    out = project.run("--kspec-checks=checks", "-s")
    out.stdout.fnmatch_lines_random(
        [
            "*acme.asserts is failed: cluster: there are Services",
            "*acme.raises is broken: not evaluated: the check raised ValueError: no",
            "*acme.both is broken: not evaluated: could not look at all",
        ]
    )


def test_html_of_pytest_html_has_a_severity_column(project: Project) -> None:
    project.run("--html=page.html", "--self-contained-html")
    page = (project.path / "page.html").read_text()
    assert "Severity" in page
    assert "critical" in page


def test_several_specifications_in_one_run(project: Project) -> None:
    text = (project.path / "strict.yaml").read_text()
    project.write("second.yaml", text.replace("name: strict", "name: second"))
    project.run("--kspec-spec=second.yaml", clusters=("./prod", "./stage"))
    found = [(c["name"], c["spec"]["name"]) for c in project.result()["clusters"]]
    assert found == [("prod", "second"), ("prod", "strict"), ("stage", "second"), ("stage", "strict")]


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["one", "workers"])
def test_nothing_to_evaluate_fails_the_run(project: Project, args: tuple[str, ...]) -> None:
    project.write("wrong/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n")
    project.write(
        "strict.yaml", SPEC.partition("spec:")[0] + "spec:\n  network: {allowedServiceTypes: [ClusterIP]}\n"
    )
    out = project.run(*args, clusters=("./wrong",))
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    out.stdout.fnmatch_lines(["wrong: nothing was evaluated for strict 1.0.0:*--kspec-allow-empty*"])
    assert project.run(*args, "--kspec-allow-empty", clusters=("./wrong",)).ret == pytest.ExitCode.OK
    project.write("pytest.ini", "[pytest]\nkspec_allow_empty = true\n")
    assert project.run(*args, clusters=("./wrong",)).ret == pytest.ExitCode.OK
