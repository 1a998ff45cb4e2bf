"""What a result says of its origin: source, snapshot, specification, and who ran it."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from pathlib import Path

import pytest

from pytest_kspec import clock
from pytest_kspec.runby import run_by
from tests.cli.conftest import RECORDING
from tests.plugin.conftest import SPEC, Project


def index_of(archive: Path) -> bytes:
    with tarfile.open(archive) as opened:
        (name,) = [n for n in opened.getnames() if n.endswith("/snapshot.json")]
        member = opened.extractfile(name)
        assert member is not None
        return member.read()


@pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "loadscope")], ids=["alone", "xdist"])
def test_a_snapshot_and_a_specification_are_named_by_their_digests(
    project: Project, workers: tuple[str, ...]
) -> None:
    shutil.copy(RECORDING, project.path / "prod-eu.tar.gz")
    project.run(*workers, "--kspec-run-by", "jane  of\naudit", clusters=("./prod-eu.tar.gz", "./prod"))
    result = project.result()
    by_name = {cluster["name"]: cluster["evidence"] for cluster in result["clusters"]}
    digest = hashlib.sha256(SPEC.encode()).hexdigest()
    assert by_name["prod-eu"].pop("recordedAt").startswith("20")
    assert by_name == {
        "prod-eu": {
            "sourceRef": "./prod-eu.tar.gz",
            "snapshotSha256": hashlib.sha256(index_of(RECORDING)).hexdigest(),
            "specSha256": digest,
        },
        "prod": {
            "sourceRef": "./prod",
            "snapshotSha256": "",
            "recordedAt": "",
            "specSha256": digest,
            "origin": "prod",
        },
    }
    assert result["runBy"] == "jane of audit"


def test_a_folder_is_the_same_snapshot_as_its_archive(project: Project) -> None:
    with tarfile.open(RECORDING) as opened:
        opened.extractall(project.path, filter="data")
    (folder,) = {path.parent for path in project.path.glob("*/snapshot.json")}
    project.run(clusters=(f"./{folder.name}",))
    (cluster,) = project.result()["clusters"]
    assert cluster["evidence"]["snapshotSha256"] == hashlib.sha256(index_of(RECORDING)).hexdigest()


def test_the_ini_file_and_the_environment_may_say_who_runs_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("pytest.ini", "[pytest]\nkspec_run_by = nightly audit\n")
    project.run("-k", "allowedServiceTypes")
    assert project.result()["runBy"] == "nightly audit"
    (project.path / "pytest.ini").unlink()
    monkeypatch.setenv("KSPEC_RUN_BY", "team-7")
    project.run("-k", "allowedServiceTypes")
    assert project.result()["runBy"] == "team-7"
    project.run("-k", "allowedServiceTypes", "--kspec-run-by=")
    assert project.result()["runBy"] == ""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "acme/shop",
                "GITHUB_RUN_ID": "7",
                "CI_JOB_URL": "",
            },
            "https://github.com/acme/shop/actions/runs/7",
        ),
        ({"CI_JOB_URL": "https://bot:hunter2@git.example.com/j/1"}, "https://git.example.com/j/1"),
        ({"BUILD_URL": "https://ci.example.com/job/shop/3/"}, "https://ci.example.com/job/shop/3/"),
        ({"BUILD_URL": "https://ci.example.com/", "KSPEC_RUN_BY": ""}, ""),
        ({"BUILD_URL": "https://ci.example.com/", "KSPEC_RUN_BY": "me"}, "me"),
    ],
)
def test_the_ci_job_is_named(environ: dict[str, str], expected: str) -> None:
    assert run_by(None, environ) == expected


def test_else_user_and_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "jane")
    monkeypatch.setattr("socket.gethostname", lambda: "laptop")
    assert run_by(None, {}) == "jane@laptop"

    def nobody() -> str:
        raise KeyError("uid 1000")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert run_by(None, {}) == "laptop"
    assert run_by("", {}) == ""


def test_the_clock_can_be_set_for_a_while() -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 1, 2, tzinfo=UTC)
    with clock.at(moment):
        assert clock.now() == moment
    assert clock.now() > moment
    with pytest.raises(ValueError, match="time zone"), clock.at(datetime(2026, 1, 2)):
        pass
