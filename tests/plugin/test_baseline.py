"""`--kspec-baseline` in a run: known findings are shown and do not fail; new ones and errors do."""

from __future__ import annotations

import pytest

from pytest_kspec.reports import json as json_report
from pytest_kspec.results.baseline import Baseline
from tests.plugin.conftest import MANIFESTS, Project

PRIVILEGED = "podSecurity.standard[privileged]"


@pytest.fixture
def known(project: Project) -> Project:
    """A project with a baseline of what ./prod has."""
    project.run()
    found = json_report.read(project.path / "result.json")
    project.write("known.json", Baseline("known.json", (), ()).updated(found).render().decode())
    return project


@pytest.mark.parametrize("args", [(), ("-n", "2")])
def test_known_findings_are_shown_and_do_not_fail(known: Project, args: tuple[str, ...]) -> None:
    out = known.run("--kspec-baseline=known.json", *args)
    assert out.ret == pytest.ExitCode.OK
    result = known.result()
    assert set(known.verdicts().values()) == {"pass", "skip"}
    assert result["summary"]["known"] == 2
    assert result["summary"]["score"] < 100
    found = [f for c in result["clusters"][0]["checks"] for f in c["findings"]]
    assert [f["known"] for f in found] == [True, True]
    assert result["clusters"][0]["baseline"] == {"path": "known.json", "covered": True, "fixed": []}
    out.stdout.fnmatch_lines(["*NOTHING NEW*", "*2 known*"])


@pytest.mark.parametrize("args", [(), ("-n", "2")])
def test_only_what_is_new_fails(known: Project, args: tuple[str, ...]) -> None:
    second = "{name: side, image: nginx, securityContext: {privileged: true}}"
    known.write("prod/all.yaml", MANIFESTS.replace("containers: [", f"containers: [{second}, "))
    out = known.run("--kspec-baseline=known.json", *args)
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert [name for name, verdict in known.verdicts().items() if verdict == "fail"] == [PRIVILEGED]
    (check,) = [c for c in known.result()["clusters"][0]["checks"] if c["id"] == PRIVILEGED]
    assert sorted((f["container"], f["known"]) for f in check["findings"]) == [("app", True), ("side", False)]
    assert not any("containers[app]" in line for line in out.outlines)


def test_an_error_stays_an_error(known: Project) -> None:
    known.write("prod/all.yaml", MANIFESTS.replace("containers: [", "containers: [7, "))
    out = known.run("--kspec-baseline=known.json")
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert known.verdicts()[PRIVILEGED] == "error"


def test_fixed_entries_are_reported(known: Project) -> None:
    known.write("prod/all.yaml", MANIFESTS.replace("NodePort", "ClusterIP"))
    out = known.run("--kspec-baseline=known.json")
    assert out.ret == pytest.ExitCode.OK
    out.stdout.fnmatch_lines(["*fixed, but still in the baseline known.json:*"])
    (fixed,) = known.result()["clusters"][0]["baseline"]["fixed"]
    assert (fixed["check"], fixed["what"]) == ("network.allowedServiceTypes", "Service web/shop: spec.type")


def test_a_baseline_of_another_cluster_is_noticed(known: Project) -> None:
    known.write("other/all.yaml", MANIFESTS)
    out = known.run("--kspec-baseline=known.json", clusters=("./other",))
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert known.result()["summary"]["known"] == 0
    out.stdout.fnmatch_lines(["*the baseline known.json was not made from cluster other*"])


def test_the_ini_key_is_relative_to_its_file(known: Project) -> None:
    known.write("pytest.ini", "[pytest]\nkspec_baseline = known.json\n")
    (known.path / "deep").mkdir()
    out = known.pytester.runpytest_subprocess(
        "-c", "pytest.ini", "--kspec-spec=strict.yaml", "--kspec-cluster=./prod", "-p", "no:cacheprovider"
    )
    assert out.ret == pytest.ExitCode.OK


def test_a_missing_baseline_is_a_usage_error(project: Project) -> None:
    out = project.run("--kspec-baseline=none.json")
    assert out.ret == pytest.ExitCode.USAGE_ERROR
    out.stderr.fnmatch_lines(["*--kspec-baseline none.json: could not be read: No such file or directory.*"])
