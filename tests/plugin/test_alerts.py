"""`--kspec-alert` in a run: what changed against the store is sent once, on the controller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from pytest_kspec.cli.main import main
from pytest_kspec.publish.alerts import Alerts
from pytest_kspec.publish.store import keep
from pytest_kspec.results.observation import State
from pytest_kspec.storage import engine
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.listing import standings
from pytest_kspec.storage.read import findings
from tests.alerts.conftest import config_file
from tests.alerts.receiving import HttpReceiver, http_receiver
from tests.plugin.conftest import MANIFESTS, SPEC, Project
from tests.reports.results import check, cluster, scan


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


PARTIAL = [
    ("-k", "network"),
    ("-k", "network", "-n", "2"),
    ("--deselect=strict.yaml::prod::podSecurity.standard[privileged]",),
    ("strict.yaml::prod::network.allowedServiceTypes",),
]


@pytest.mark.parametrize("selection", PARTIAL, ids=["k", "k-xdist", "deselect", "node-id"])
def test_a_run_of_some_requirements_ends_nothing_of_the_others(
    project: Project, receiver: HttpReceiver, selection: tuple[str, ...]
) -> None:
    """Though these are met by now: it did not look."""
    config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    words = ("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    project.run(*words)
    project.write("prod/all.yaml", MANIFESTS.replace("privileged: true", "privileged: false"))
    project.run(*words, *selection).stdout.fnmatch_lines(["alerts: nothing changed since the last run"])
    (cluster,) = project.result()["clusters"]
    assert "podSecurity.standard[privileged]" in cluster["notSelected"]
    assert {check["id"] for check in cluster["checks"]}.isdisjoint(cluster["notSelected"])
    project.run(*words).stdout.fnmatch_lines(["alerts: sent to hook: 1 active, 1 resolved"])


def test_a_baseline_restores_nothing(project: Project, receiver: HttpReceiver) -> None:
    """What it has is there: the run does not fail, and the requirement is not met."""
    from pytest_kspec.reports import json
    from pytest_kspec.results.baseline import Baseline

    config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    words = ("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    project.run(*words)
    known = Baseline("", (), ()).updated(json.read(project.path / "result.json"))
    (project.path / "known.json").write_bytes(known.render())
    out = project.run(*words, "--kspec-baseline=known.json")
    assert out.ret == pytest.ExitCode.OK
    out.stdout.fnmatch_lines(["alerts: nothing changed since the last run"])


def test_a_run_that_evaluated_nothing_ends_nothing(project: Project, receiver: HttpReceiver) -> None:
    config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    project.write(
        "strict.yaml", SPEC.partition("  kubernetes:")[0] + "  network: {allowedServiceTypes: [ClusterIP]}\n"
    )
    words = ("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    project.run(*words)
    project.write("prod/all.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    out = project.run(*words)
    assert out.ret != pytest.ExitCode.OK
    out.stdout.fnmatch_lines(["alerts: nothing changed since the last run"])


def test_what_cannot_be_sent_is_an_error_before_the_run(project: Project) -> None:
    config_file(project.path, slack={"webhookURLSecretRef": {"env": "KSPEC_TEST_UNSET"}})
    out = project.run("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    assert out.ret == pytest.ExitCode.USAGE_ERROR
    out.stderr.fnmatch_lines(["*$KSPEC_TEST_UNSET: the variable is not set."])
    assert not (project.path / "results.db").exists()


def test_a_cluster_that_does_not_answer_is_the_one_of_its_name(
    tmp_path: Path, receiver: HttpReceiver
) -> None:
    """By its UID, which a run before knows; the manifests that were called the same later are another one."""
    url = str(tmp_path / "results.db")
    config_file(tmp_path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    met, dead = (
        check("images", "Images", "high", "pass"),
        check("images", "Images", "high", "error", reason="no"),
    )
    live = replace(cluster("prod", checks=(met,), frameworks=()), source="live", uid="uid-1")
    for moment, one in (
        ("2026-11-01T06:00:00Z", live),
        ("2026-11-02T06:00:00Z", replace(live, source="manifests", uid="")),
        ("2026-11-03T06:00:00Z", replace(live, uid="", checks=(dead,))),
    ):
        result = replace(scan(one), started_at=moment, finished_at=moment)
        keep(result, url, "")
        made = Alerts(str(tmp_path / "alerts.yaml"), store=url).publish(result, ())
        assert made.problems == []
    (sent,) = receiver.bodies("/hook")
    assert (sent["event_type"], sent["labels"]["cluster_uid"]) == ("ClusterUnreachable", "uid-1")


def test_two_configurations_of_one_name_are_refused(project: Project, receiver: HttpReceiver) -> None:
    """The second's receivers would be told nothing."""
    for name in ("one.yaml", "two.yaml"):
        config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}]).rename(
            project.path / name
        )
    out = project.run("--kspec-store=results.db", "--kspec-alert=one.yaml", "--kspec-alert=two.yaml")
    assert out.ret == pytest.ExitCode.USAGE_ERROR
    out.stderr.fnmatch_lines(["*two.yaml: one.yaml has the same name*"])


def test_a_list_tells_what_ended_and_what_it_does_not_know(
    project: Project, receiver: HttpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    url = str(project.path / "results.db")
    config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    project.run("--kspec-store=results.db")
    capsys.readouterr()
    assert main(["alert", "list", "--store", url]) == 0
    assert capsys.readouterr().out.startswith("No alert is known: only runs with --alert create alerts.")
    words = ("--kspec-store=results.db", "--kspec-alert=alerts.yaml")
    project.run(*words)
    project.write("prod/all.yaml", (project.path / "stage/all.yaml").read_text())
    project.run(*words)
    capsys.readouterr()
    assert main(["alert", "list", "--store", url]) == 0
    assert capsys.readouterr().out == "No alert is active as of the last run with --alert.\n"
    assert main(["alert", "list", "--store", url, "--all"]) == 0
    assert capsys.readouterr().out.count(", ended ") == 2


def test_a_run_of_some_requirements_is_not_the_state_of_a_cluster(project: Project) -> None:
    url = str(project.path / "results.db")
    project.run("--kspec-store=results.db")
    project.run("--kspec-store=results.db", "-k", "kubernetes")
    with closing(open_store(url)) as store:
        (standing,) = standings(store).rows
        assert standing.failed == 2
        assert {found.state for found in findings(store)} == {State.OPEN}


def test_partial_runs_are_marked_wherever_a_store_is_shown(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    url = str(project.path / "results.db")

    def shown(*words: str) -> str:
        capsys.readouterr()
        assert main([*words, "--store", url]) == 0
        return capsys.readouterr().out

    selected = ("--kspec-store=results.db", "-k", "network")
    project.run(*selected)
    assert shown("history").splitlines()[-1].strip() == "1 of 18 requirements, as selected"
    assert "(1 of 18)" in shown("dashboard")
    assert '"leftOut": 17' in shown("history", "-o", "json")
    project.run("--kspec-store=results.db")
    project.run(*selected)
    lines = shown("history").splitlines()
    assert ["as selected" in line for line in lines[1:]] == [False, True, False, False, True]
    assert {"▲", "▼"}.isdisjoint("".join(lines)), "scores of different requirements"
    assert "as selected" not in shown("dashboard")
    assert " of 18)" not in shown("dashboard")


def test_manifests_of_one_name_clear_nothing_of_each_other(
    project: Project, receiver: HttpReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """In runs of their own over one store; a given name tells them apart."""
    config_file(project.path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    for name, content in (
        ("prod", MANIFESTS),
        ("dev", MANIFESTS.replace("privileged: true", "privileged: false")),
    ):
        project.write(f"{name}/app.yaml", content)
    words = ["scan", "strict.yaml", "--store", "results.db", "--alert", "alerts.yaml", "--cluster"]

    def scan(cluster: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main([*words, cluster])
        said = capsys.readouterr()
        return code, said.out + said.err

    scan("prod/app.yaml")
    sent = len(receiver.bodies("/hook"))
    code, said = scan("dev/app.yaml")
    assert code == 2
    assert (
        "'app.yaml' was not stored: the store has results of that name from prod/app.yaml; those from dev/app.yaml "
        in said
    )
    assert "alerts: the results of app.yaml are not stored, so no alert is sent" in said
    assert len(receiver.bodies("/hook")) == sent
    code, said = scan("dev=dev/app.yaml")
    assert code == 1
    assert "stored as run" in said
    with closing(open_store("results.db")) as store:
        assert [(row.cluster, row.failed) for row in standings(store, order="name").rows] == [
            ("app.yaml", 2),
            ("dev", 1),
        ]
    code, said = scan("d::ev=dev/app.yaml")  # which `d:ev` would be stored as
    assert (code, "may not hold '::'" in said) == (4, True)
    code, said = scan("=dev/app.yaml")
    assert (code, "the name in NAME=PATH must have 1 to 100 characters" in said) == (4, True)


def test_all_clusters_are_asked_about_over_one_connection(
    tmp_path: Path, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has to be made, which takes longer than what is asked."""
    url = str(tmp_path / "results.db")
    config_file(tmp_path, webhooks=[{"name": "hook", "url": f"{receiver.url}/hook"}])
    opened: list[object] = []
    really = engine._open_file
    monkeypatch.setattr(engine, "_open_file", lambda *some: opened.append(some) or really(*some))
    counts = []
    for number in (2, 20):
        clusters = (cluster(f"{number}-{n}", checks=(), frameworks=()) for n in range(number))
        made = scan(*clusters)
        keep(made, url, "")
        opened.clear()
        published = Alerts(str(tmp_path / "alerts.yaml"), store=url).publish(made, ())
        assert published.problems == []
        counts.append(len(opened))
    assert counts[0] == counts[1]
