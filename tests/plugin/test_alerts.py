"""`--kspec-alert` in a run: what changed against the store is sent once, on the controller."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.alerts.conftest import config_file
from tests.alerts.receiving import HttpReceiver, http_receiver
from tests.plugin.conftest import MANIFESTS, Project


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        yield made


def test_what_changed_is_sent_once(project: Project, receiver: HttpReceiver) -> None:
    config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    words = ("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    out = project.run(*words, "-n", "2")
    assert out.ret == pytest.ExitCode.TESTS_FAILED
    out.stdout.fnmatch_lines(["alerts: sent to hook: 2 active, 0 resolved"])
    (first,) = receiver.bodies("/hook")
    assert (first["metadata"]["active"], first["event_type"]) == (2, "ComplianceFailure")

    project.write("prod/all.yaml", MANIFESTS.replace("privileged: true", "privileged: false"))
    project.run(*words).stdout.fnmatch_lines(["alerts: sent to hook: 1 active, 1 resolved"])
    last = receiver.bodies("/hook")[-1]
    assert [one["event_type"] for one in last["metadata"]["alerts"]] == [
        "ComplianceFailure",
        "ComplianceRestored",
    ]


def test_what_cannot_be_sent_is_an_error_before_the_run(project: Project) -> None:
    config_file(project.path, slack={"webhookURLSecretRef": {"env": "KSPEC_TEST_UNSET"}})
    out = project.run("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    assert out.ret == pytest.ExitCode.USAGE_ERROR
    out.stderr.fnmatch_lines(["*$KSPEC_TEST_UNSET: the variable is not set."])
    assert not (project.path / "results.db").exists()
