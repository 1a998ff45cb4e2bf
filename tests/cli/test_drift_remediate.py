"""`kspec drift remediate`, `watch` and `history` on a real API server."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cli.main import main
from tests.controlplane import namespaces

from .drifting import BINDING, NAMES, POLICY, SPEC, V1, Drift, found, op

SOFT = op("replace", "/spec/failurePolicy", "Ignore")
LIMIT_S = 120.0


def done(document: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {
        f"{one['resource']['kind']} {one['resource']['name']}": (
            one["remediation"]["action"],
            one["remediation"]["status"],
        )
        for one in document["events"]
    }


def remediate(drift: Drift, *words: str) -> tuple[int, dict[str, Any], str]:
    code, out, err = drift.run("remediate", "-o", "json", *words)
    return code, json.loads(out), err


def test_what_was_changed_is_set_back_and_what_is_missing_made_again(drift: Drift) -> None:
    drift.enforce()
    drift.patch(POLICY, NAMES[0], SOFT)
    drift.patch(
        BINDING, NAMES[0], op("add", "/spec/matchResources", {"objectSelector": {"matchLabels": {"n": "1"}}})
    )
    drift.patch(BINDING, NAMES[2], op("remove", "/metadata/labels/kspec.io~1cluster-spec"))
    drift.writer.delete(V1, POLICY, NAMES[1])
    wanted = {
        f"{POLICY} {NAMES[0]}": "update",
        f"{BINDING} {NAMES[0]}": "update",
        f"{BINDING} {NAMES[2]}": "update",
        f"{POLICY} {NAMES[1]}": "create",
    }
    code, document, err = remediate(drift, "--dry-run")
    assert (code, done(document)) == (1, {name: (action, "detected") for name, action in wanted.items()})
    assert drift.detect()[0] == 1, "a dry run changes nothing"
    code, document, err = remediate(drift, "--yes")
    assert (code, done(document)) == (0, {name: (action, "remediated") for name, action in wanted.items()})
    assert "corrections are not recorded (the namespace kspec-system does not exist)" in err
    assert drift.detect()[0] == 0
    assert drift.writer.get(V1, BINDING, NAMES[0])["spec"].keys() == {"policyName", "validationActions"}
    assert remediate(drift, "--yes")[0] == 0


def test_it_asks_and_no_is_the_default(drift: Drift, monkeypatch: pytest.MonkeyPatch) -> None:
    drift.enforce()
    drift.patch(POLICY, NAMES[0], SOFT)
    code, out, err = drift.run("remediate")
    assert (code, out) == (4, "")
    assert "cannot ask for confirmation" in err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for said, code in (("\n", 1), ("n\n", 1), ("", 1), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", Terminal(said))
        assert drift.run("remediate")[0] == code
    assert drift.detect()[0] == 0


def test_what_is_extra_goes_only_by_force_and_only_if_it_is_ours(drift: Drift) -> None:
    drift.spec({**SPEC, "network": {"allowedServiceTypes": ["ClusterIP"]}})
    drift.enforce()
    drift.spec(SPEC)
    there = drift.writer.get(V1, POLICY, NAMES[1])
    metadata = {key: there["metadata"][key] for key in ("labels", "annotations")}
    drift.writer.create(
        {
            "apiVersion": V1,
            "kind": POLICY,
            "spec": there["spec"],
            "metadata": {**metadata, "name": "kspec-drifty-copy"},
        },
        field_manager="kubectl-create",
    )
    ours = {f"{BINDING} kspec-drifty-services", f"{POLICY} kspec-drifty-services"}
    copy = {f"{POLICY} kspec-drifty-copy": ("manual-required", "manual-required")}
    code, document, _ = remediate(drift, "--yes")
    assert (code, done(document)) == (1, dict.fromkeys(ours, ("skip", "detected")) | copy)
    code, document, _ = remediate(drift, "--yes", "--force")
    assert (code, done(document)) == (1, dict.fromkeys(ours, ("delete", "remediated")) | copy)
    assert found(drift.detect()[1]) == [("extra", "low", POLICY, "kspec-drifty-copy")]


HOLDERS = {
    "Argo CD (application shop)": {
        "annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:a/b"}
    },
    "Flux (Kustomization base)": {"labels": {"kustomize.toolkit.fluxcd.io/name": "base"}},
    "Flux (HelmRelease web)": {"labels": {"helm.toolkit.fluxcd.io/name": "web"}},
    "Helm (release web)": {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "web"},
    },
}


def test_what_another_tool_keeps_is_reported_and_never_corrected(drift: Drift) -> None:
    drift.enforce()
    for name, (_, marks) in zip(NAMES, HOLDERS.items(), strict=True):
        drift.writer.patch(V1, POLICY, name, {"metadata": marks}, field_manager="them")
        drift.patch(POLICY, name, SOFT)
    code, document, _ = remediate(drift, "--yes", "--force")
    assert code == 1
    assert {one["managed_by"] for one in document["events"]} == set(HOLDERS)
    assert set(done(document).values()) == {("skip", "detected")}
    assert len(drift.detect()[1]["events"]) == 4


def test_no_more_than_max_changes_in_one_run(drift: Drift) -> None:
    code, document, _ = remediate(drift, "--yes", "--max-changes", "3")
    assert (code, [one["remediation"]["status"] for one in document["events"]].count("remediated")) == (1, 3)
    assert len(drift.detect()[1]["events"]) == 5
    assert drift.run("remediate", "--yes", "--max-changes", "0")[0] == 4


@pytest.mark.parametrize("where", ["store", "cluster", "both"])
def test_three_corrections_within_an_hour_are_a_fight_also_after_a_restart(
    drift: Drift, tmp_path: Path, where: str
) -> None:
    """Each run is a process of its own as far as memory goes. both: what a run with a store finds in the cluster."""
    stored = ["--store", str(tmp_path / "s.db")]
    words = ["--yes", *(stored if where == "store" else [])]
    if where != "store":
        namespaces.create(drift.plane, "kspec-system")
    try:
        drift.enforce()
        for _ in range(3):
            drift.writer.delete(V1, BINDING, NAMES[0])
            drift.patch(POLICY, NAMES[0], SOFT, manager="rival")
            code, document, err = remediate(drift, *words)
            assert (code, "not recorded" in err) == (0, False)
            assert set(done(document).values()) == {("create", "remediated"), ("update", "remediated")}
        drift.writer.delete(V1, BINDING, NAMES[0])
        drift.patch(POLICY, NAMES[0], SOFT, manager="rival")
        drift.patch(POLICY, NAMES[1], SOFT, manager="rival")
        code, document, _ = remediate(drift, *words, *(stored if where == "both" else []))
        assert (code, done(document)) == (
            1,
            {
                f"{BINDING} {NAMES[0]}": ("manual-required", "manual-required"),
                f"{POLICY} {NAMES[0]}": ("manual-required", "manual-required"),
                f"{POLICY} {NAMES[1]}": ("update", "remediated"),
            },
        )
        texts = [one["remediation"]["details"] for one in document["events"]]
        assert any("corrected 3 times within an hour, and changed again by rival" in text for text in texts)
        if where == "cluster":
            drift.writer.patch(
                "v1",
                "ConfigMap",
                "kspec-drift-drifty",
                {"data": {"corrections": "[[1]]"}},
                namespace="kspec-system",
            )
            code, _, err = drift.run("remediate", "--yes")
            assert (code, "does not hold a list of corrections. Delete it." in err) == (2, True)
    finally:
        if where != "store":
            namespaces.delete(drift.plane, "kspec-system")


def test_history_has_each_difference_once_with_its_end(drift: Drift, tmp_path: Path) -> None:
    words = ("--store", str(tmp_path / "s.db"), "--types", "policy")
    drift.enforce()
    drift.patch(POLICY, NAMES[0], SOFT)
    for _ in range(3):
        assert drift.run("detect", *words)[0] == 1
    drift.writer.delete(V1, BINDING, NAMES[1])
    assert drift.run("remediate", "--yes", *words)[0] == 0
    assert drift.run("detect", *words)[0] == 0
    code, out, _ = drift.run("history", *words[:2], "--since", "7d", "-o", "json")
    document = json.loads(out)
    assert (code, found(document)) == (
        0,
        [("modified", "medium", POLICY, NAMES[0]), ("missing", "high", BINDING, NAMES[1])],
    )
    assert all(
        one["cleared_at"] and one["remediation"]["status"] == "remediated" for one in document["events"]
    )
    assert document["stats"] == {
        "total_events": 2,
        "events_by_type": {"policy": 2},
        "events_by_severity": {"medium": 1, "high": 1},
        "open_events": 0,
        "remediated_events": 2,
        "failed_remediations": 0,
        "first_event": document["events"][0]["timestamp"],
        "last_event": document["events"][1]["timestamp"],
    }
    for age in ("30m", "1h30m0s"):  # as Go, and so v0.3, writes durations
        assert drift.run("history", *words[:2], "--since", age, "-o", "json")[1] == out
    code, out, _ = drift.run("history", *words[:2])
    assert (code, out.count("cleared"), "changed by kubectl-edit at 2" in out) == (0, 2, True)
    assert (
        drift.run("history", *words[:2], "--since", "2099-01-01")[1] == "The store has no matching drift.\n"
    )
    assert drift.run("history")[0] == 4
    assert drift.run("history", "--store", str(tmp_path / "none.db"))[0] == 2


def test_ignored_differences_are_neither_reported_nor_corrected(drift: Drift, tmp_path: Path) -> None:
    drift.enforce()
    drift.patch(POLICY, NAMES[0], SOFT)
    drift.patch(POLICY, NAMES[1], SOFT, op("replace", "/spec/matchConstraints/matchPolicy", "Exact"))
    path = tmp_path / "ignore.yaml"
    entry = {"kind": POLICY, "name": "kspec-drifty-*", "fields": ["spec.failurePolicy"], "reason": "a trial"}
    path.write_text(yaml.safe_dump({"ignore": [entry]}))
    store = ("--store", str(tmp_path / "drift.db"))
    policies = ("--types", "policy", *store)
    assert len(drift.detect(*policies)[1]["events"]) == 2
    code, document = drift.detect("--ignore", str(path), *policies)
    assert (code, found(document)) == (1, [("modified", "medium", POLICY, NAMES[1])])
    told = json.loads(drift.run("history", "-o", "json", *store)[1])
    assert [one["cleared_at"] for one in told["events"]] == ["", ""], (
        "what is ignored now is there all the same"
    )
    assert list(document["events"][0]["diff"]["modified"]) == ["spec.matchConstraints.matchPolicy"]
    code, document, _ = remediate(drift, "--yes", "--ignore", str(path))
    assert (code, done(document)) == (1, {f"{POLICY} {NAMES[1]}": ("manual-required", "manual-required")})
    path.write_text(yaml.safe_dump({"spec": {"ignore": [{"reason": "everything"}]}}))
    code, _, err = drift.run("detect", "--ignore", str(path))
    assert (code, "an empty entry would ignore everything" in err) == (4, True)


def test_watch_says_what_drifts_and_what_is_set_back(drift: Drift, tmp_path: Path) -> None:
    drift.enforce()
    command = [sys.executable, "-m", "pytest_kspec.cli.main", "drift", "watch", "-s", str(drift.path)]
    log = tmp_path / "log"
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--watch-interval", "1h"], stdout=file, stderr=file, env=environment, cwd=tmp_path
        )
    try:

        def until(text: str) -> None:
            deadline = time.monotonic() + LIMIT_S
            while text not in log.read_text():
                assert time.monotonic() < deadline, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)

        until("no drift")
        drift.patch(POLICY, NAMES[0], SOFT)
        until(f"modified  {POLICY} {NAMES[0]}\n")
        until("changed by kubectl-edit")
        drift.enforce()
        until(f"cleared  modified {POLICY} {NAMES[0]}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(LIMIT_S)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("detect", "--force"), "'--force' has no effect with 'detect'"),
        (("detect", "--since", "7d"), "'--since' has no effect with 'detect'"),
        (("detect", "--types", "policy,shape"), "'shape' is not a type of drift"),
        (("detect", "--types", "compliance"), "compliance drift needs --store"),
        (
            ("detect", "--snapshot", "x.tar.gz"),
            "configuration drift needs the kinds to compare, and what to compare them with",
        ),
        (("detect", "--last-good", "--kinds", "Role"), "the last good run is kept in a store"),
        (("detect", "--last-good", "--store", "s.db"), "configuration drift needs the kinds to compare"),
        (
            ("detect", "--last-good", "--snapshot", "x", "--kinds", "Role", "--store", "s.db"),
            "--snapshot and --last-good cannot be combined",
        ),
        (("watch", "--output-file", "x"), "watch does not end"),
        (("watch", "--watch-interval", "often"), "'often' is not a duration"),
        (("remediate", "--max-changes", "0"), "--max-changes: '0' is not a number from 1 to 1000"),
        (("remediate", "--max-changes", "-1"), "--max-changes: '-1' is not a number from 1 to 1000"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nmetadata: {name: a, version: '1'}\nspec: {}\n"
    )
    assert main(["drift", words[0], "-s", str(path), *words[1:]]) == 4
    assert said in capsys.readouterr().err
