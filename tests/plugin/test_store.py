"""`--kspec-store` in a run: once, on the controller, whatever the number of workers; an error fails the run."""

from __future__ import annotations

import pytest

from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.read import trend
from tests.plugin.conftest import Project


@pytest.mark.parametrize("args", [(), ("-n", "2")])
def test_a_run_is_stored_once(project: Project, args: tuple[str, ...]) -> None:
    out = project.run(
        "--kspec-store=results.db", "--kspec-store-reports=kept", *args, clusters=("./prod", "./stage")
    )
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    out.stdout.fnmatch_lines(["stored as run * in results.db"])
    store = open_store(str(project.path / "results.db"))
    points = trend(store)
    store.close()
    assert [(p.cluster, p.failed) for p in points] == [("prod", 2), ("stage", 0)]
    assert {p.finished_at for p in points} == {project.result()["finishedAt"]}
    assert len(list((project.path / "kept").rglob("*.json.gz"))) == 1


def test_a_store_that_cannot_be_written_fails_a_run_that_passed(project: Project) -> None:
    project.write("file", "")
    out = project.run("--kspec-store=file/results.db", clusters=("./stage",))
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    assert project.result()["summary"]["fail"] == 0
    out.stdout.fnmatch_lines(["not written: file/results.db: *"])


def test_a_wrong_address_is_a_usage_error_without_its_password(project: Project) -> None:
    out = project.run("--kspec-store=mysql://u:hunter2@h/d")
    assert out.ret == pytest.ExitCode.USAGE_ERROR
    out.stderr.fnmatch_lines(["*--kspec-store: 'mysql:' is not the address of a store.*"])
    assert "hunter2" not in out.stderr.str() + out.stdout.str()


def test_reports_without_a_store_are_a_usage_error(project: Project) -> None:
    assert project.run("--kspec-store-reports=kept").ret == pytest.ExitCode.USAGE_ERROR
