"""`kspec enforce` on a real API server: apply, change, preview, status, remove; other people's objects stay."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.audit import trail
from pytest_kspec.cli.main import main
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import seen
from tests.audit.reading import read_ecs
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane

ADMISSION = "/apis/admissionregistration.k8s.io/v1"
POLICIES = f"{ADMISSION}/validatingadmissionpolicies"
BINDINGS = f"{ADMISSION}/validatingadmissionpolicybindings"
HELD, FREE = "enforce-held", "enforce-free"
IN_FORCE_S = 30.0
BAD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bad"},
    "spec": {
        "hostPID": True,
        "containers": [{"name": "app", "image": "x", "securityContext": {"privileged": True}}],
    },
}


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[Any]:
    for name in (HELD, FREE):
        namespaces.create(control_plane, name, {"held": "yes" if name == HELD else "no"})
    yield control_plane
    for name in (HELD, FREE):
        namespaces.delete(control_plane, name)


@pytest.fixture
def run(
    plane: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """kspec enforce with the given `spec:` part; what it applied is removed after the test."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig(path=tmp_path / "kubeconfig")))
    made = set()

    def enforce(spec: Any, *words: Any, name: str = "live") -> tuple[Any, Any, Any]:
        path = tmp_path / f"{name}.yaml"
        document = {
            "apiVersion": "kspec.dev/v1",
            "kind": "ClusterSpecification",
            "metadata": {"name": name, "version": "1.0.0"},
            "spec": spec,
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        made.add(path)
        code = main(["enforce", str(path), *words, "--yes"])
        said = capsys.readouterr()
        return code, said.out, said.err

    yield enforce
    for path in made:
        main(["enforce", str(path), "--remove"])
    until(plane, 201)


def spec(**more: Any) -> dict[str, Any]:
    scope = {"excludeNamespaces": ["kube-*"], "namespaceSelector": {"matchLabels": {"held": "yes"}}}
    return {"podSecurity": {"enforce": "baseline", "version": "v1.37"}, "namespaceScope": scope, **more}


def create(plane: Any, namespace: str, obj: Any = BAD) -> Any:
    kinds = {"Pod": "pods", "Service": "services"}
    return plane.request("POST", f"/api/v1/namespaces/{namespace}/{kinds[obj['kind']]}?dryRun=All", obj)


def until(plane: Any, status: Any, namespace: Any = HELD, obj: Any = BAD) -> Any:
    """The answer, once it has this status: policies come into force and go a moment later."""
    deadline = time.monotonic() + IN_FORCE_S
    while (answer := create(plane, namespace, obj)).status != status:
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def names(plane: Any, path: str, name: str = "live") -> list[Any]:
    items = plane.request("GET", f"{path}?labelSelector=kspec.io/cluster-spec={name}").body["items"]
    return [item["metadata"]["name"] for item in items]


SEEN = ["CronJob", "Deployment", "Pod", "PodTemplate"]
ALL = ["kspec-live-cronjobs", "kspec-live-pods", "kspec-live-podtemplates", "kspec-live-workloads"]


def test_from_dry_run_to_removal(plane: Any, run: Any) -> None:
    code, out, err = run(spec(), "--mode", "enforce", "--dry-run")
    assert (code, names(plane, POLICIES)) == (0, [])
    assert "8 to create; nothing was applied" in out
    assert "podSecurity.enforce: it is about labels of Namespaces" in err

    code, out, _ = run(spec(), "--mode", "enforce")
    assert (code, sorted(names(plane, POLICIES)), sorted(names(plane, BINDINGS))) == (0, ALL, ALL)
    assert "denial observed: " in out
    assert sorted(out.partition("denial observed: ")[2].partition(" (dry runs)")[0].split(", ")) == SEEN
    answer = create(plane, HELD)
    assert answer.status == 403, "it is in force when the command ends"
    assert "live is violated: " in answer.body["message"]
    assert (
        "[podSecurity.standard[hostNamespaces]] spec.hostPID is true, must be unset or false"
        in (answer.body["message"])
    )
    assert "spec.containers[app].securityContext.privileged is true" in answer.body["message"]
    assert create(plane, FREE).status == 201
    # The API server takes the mark off before policies see what is created: it exempts from nothing.
    marked = BAD | {"metadata": {"name": "bad", "deletionTimestamp": "2020-01-01T00:00:00Z"}}
    assert create(plane, HELD, marked).status == 403

    code, out, _ = run(spec(), "--mode", "enforce")
    assert "8 unchanged" in out

    more = spec(network={"allowedServiceTypes": ["ClusterIP"]})
    code, out, _ = run(more, "--mode", "enforce")
    assert "2 to create, 8 unchanged" in out
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    service["spec"] = {"type": "NodePort", "ports": [{"port": 80}]}
    until(plane, 403, obj=service)

    code, out, _ = run(spec(), "--mode", "enforce")
    assert "8 unchanged, 2 to remove" in out
    assert sorted(names(plane, POLICIES)) == ALL

    code, out, _ = run(spec(), "--remove")
    assert (code, names(plane, POLICIES), names(plane, BINDINGS)) == (0, [], [])
    until(plane, 201)


def test_what_was_applied_and_removed_is_in_the_audit_log(
    plane: Any, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSPEC_AUDIT_LOG", str(tmp_path / "audit.log"))
    monkeypatch.setenv("KSPEC_AUDIT_FORMAT", "ecs")
    monkeypatch.setenv("KSPEC_RUN_BY", "jane")
    services = {"network": {"allowedServiceTypes": ["ClusterIP"]}}
    assert run(services, "--mode", "audit", name="audited")[0] == 0
    assert run(services, "--mode", "enforce", "--dry-run", name="audited")[0] == 0
    assert run(services, "--mode", "enforce", name="audited")[0] == 0
    assert run(services, "--remove", name="audited")[0] == 0
    trail.flush()
    lines = (tmp_path / "audit.log").read_bytes().splitlines()
    found = [read_ecs(line) for line in lines]
    assert {one["user"]["name"] for one in found} == {"jane"}
    said = [(one["event"]["action"], one["orchestrator"]["resource"]["name"]) for one in found]
    policy = "ValidatingAdmissionPolicy kspec-audited-services"
    binding = "ValidatingAdmissionPolicyBinding kspec-audited-services"
    assert said == [
        ("enforcement-create", policy),
        ("enforcement-create", binding),
        ("enforcement-change", policy),
        ("enforcement-change", binding),
        ("enforcement-remove", binding),
        ("enforcement-remove", policy),
    ], "of a dry run nothing"
    uid = plane.request("GET", "/api/v1/namespaces/kube-system").body["metadata"]["uid"]
    assert {one["orchestrator"]["cluster"]["id"] for one in found} == {uid}
    assert main(["audit", "verify", str(tmp_path / "audit.log")]) == 0


def test_mode_enforce_asks_first_and_no_is_the_default(
    plane: Any, run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.yaml"
    run(spec(), "--mode", "enforce", "--dry-run")
    command = ["enforce", str(path), "--mode", "enforce"]
    assert main(command) == 4
    assert (
        "cannot ask for confirmation: standard input is not a terminal. "
        "Add --yes to apply without confirmation."
    ) in capsys.readouterr().err
    assert main([*command, "--dry-run"]) == 0, "nothing is applied, so nobody is asked"

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for said, applied in (("\n", False), ("n\n", False), ("", False), ("y\n", True)):
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", Terminal(said))
        assert main(command) == 0
        shown = capsys.readouterr()
        assert shown.err.index("warning: in mode enforce") < shown.err.index("Apply 8 changes to ")
        assert ("nothing was applied" in shown.out) is not applied
        assert bool(names(plane, POLICIES)) is applied
        assert ("denial observed" in shown.out) is applied
    assert main(command) == 0, "what changes nothing is not asked"


def test_warnings_about_what_is_tried_are_not_shown(
    plane: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it denies, a cluster that had the mode audit warns of each object."""
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    pod = {"containers": [{"name": "app", "image": "x", "env": twice}]}
    warns = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "namespace": FREE}, "spec": pod}
    looked, tried = seen.look, []

    def look(wanted: Any, made: Any, checkset: Any, writer: Writer) -> Any:
        tried.append(writer.create(warns, dry_run=True))
        heard: list[str] = []
        Writer(writer.source, on_warning=heard.append).create(warns, dry_run=True)
        assert heard, "the server does warn of it"
        return looked(wanted, made, checkset, writer)

    monkeypatch.setattr(seen, "look", look)
    code, out, err = run(spec(), "--mode", "enforce")
    assert (code, "denial observed" in out, len(tried)) == (0, True, 1)
    assert "hides previous definition" not in err


def test_what_is_not_seen_to_deny_is_said(plane: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "PATIENCE_S", 0.5)
    nowhere = {"namespaceScope": {"includeNamespaces": ["not-there-yet"]}}
    code, out, err = run(spec() | nowhere, "--mode", "enforce", name="nowhere")
    assert (code, "denial observed" in out + err) == (0, False)
    # Somebody takes the bindings away as soon as they are there.
    monkeypatch.setattr(seen, "_answer", lambda probe, writer: None)
    code, out, err = run(spec(), "--mode", "enforce")
    assert (code, "denial observed" in out) == (2, False)
    for kind in SEEN:
        assert f"{kind}: violations are still admitted after 0 s" in err
    monkeypatch.setattr(seen, "_answer", lambda probe, writer: "PodSecurity refuses it")
    code, _, err = run(spec(), "--mode", "enforce")
    assert code == 0
    assert (
        "Pod: a denial could not be observed, because another error occurs first: PodSecurity refuses it"
        in err
    )


def test_audit_warns_and_admits(plane: Any, run: Any) -> None:
    code, _, _ = run(spec(), "--mode", "enforce")
    until(plane, 403)
    code, out, _ = run(spec(), "--mode", "audit")
    assert code == 0
    assert "will change ValidatingAdmissionPolicyBinding kspec-live-pods" in out
    until(plane, 201)
    labels = plane.request("GET", f"{BINDINGS}/kspec-live-pods").body
    assert labels["spec"]["validationActions"] == ["Warn", "Audit"]
    assert labels["metadata"]["labels"]["kspec.io/enforcement-mode"] == "audit"


def test_status_says_what_is_there(plane: Any, run: Any) -> None:
    code, out, _ = run(spec(), "--status")
    assert code == 1
    assert "nothing is in force" in out
    run(spec(), "--mode", "enforce")
    plane.request("DELETE", f"{BINDINGS}/kspec-live-pods")
    code, out, _ = run(spec(), "--status")
    assert code == 1
    assert "kspec-live-pods: not in force" in out
    assert "it has no binding, so it has no effect" in out
    assert "kspec-live-workloads: enforce" in out
    # No controller manager here, so nobody type-checks: that is said, too.
    assert "its CEL is not type-checked yet" in out


def test_status_says_what_is_missing_and_what_somebody_changed(plane: Any, run: Any) -> None:
    run(spec(), "--mode", "enforce")
    for path in (BINDINGS, POLICIES):
        plane.request("DELETE", f"{path}/kspec-live-pods")
    admit = {"spec": {"validations": [{"expression": "true"}]}}
    assert plane.request("PATCH", f"{POLICIES}/kspec-live-workloads", admit).status == 200
    code, out, _ = run(spec(), "--status")
    assert code == 1
    assert "ValidatingAdmissionPolicy kspec-live-pods: missing" in out
    assert "ValidatingAdmissionPolicyBinding kspec-live-pods: missing" in out
    assert "differs from what would be applied now: spec.validations[0].expression" in out
    run(spec(network={"allowedServiceTypes": ["ClusterIP"]}), "--mode", "enforce")
    out = run(spec(), "--status")[1]
    assert "kspec-live-services: enforce" in out
    assert "no longer required" in out
    assert "missing" not in out


@pytest.mark.parametrize("path", [POLICIES, BINDINGS])
def test_what_is_being_deleted_is_not_in_force(plane: Any, run: Any, path: str) -> None:
    run(spec(), "--mode", "enforce")
    held = f"{path}/kspec-live-pods"
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    assert plane.request("PATCH", held, hold).status == 200
    assert plane.request("DELETE", held).body["metadata"]["deletionTimestamp"]
    try:
        code, out, _ = run(spec(), "--status")
    finally:
        plane.request("PATCH", held, {"metadata": {"finalizers": None}})
    assert code == 1
    assert "kspec-live-pods: not in force" in out
    assert "it is being deleted, and finalizers block the deletion (example.com/hold)" in " ".join(
        out.split()
    )
    assert "kspec-live-workloads: enforce" in out


def test_a_violation_in_mode_audit_is_in_the_audit_log_of_the_server(plane: Any, run: Any) -> None:
    run(spec(), "--mode", "audit")
    deadline = time.monotonic() + IN_FORCE_S
    while not (said := audited(plane)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        assert create(plane, HELD).status == 201
    (failure,) = json.loads(said[-1])
    assert failure["policy"] == failure["binding"] == "kspec-live-pods"
    assert failure["validationActions"] == ["Warn", "Audit"]
    assert "[podSecurity.standard[hostNamespaces]] spec.hostPID is true" in failure["message"]


def audited(plane: Any) -> list[Any]:
    """What audit policies noted in the audit log, as the docs tell to search it."""
    plane.audit_position()
    key = "validation.policy.admission.k8s.io/validation_failure"
    events = map(json.loads, plane.audit_log.path.read_text().splitlines())
    found = [text for event in events if (text := event.get("annotations", {}).get(key))]
    return [text for text in found if '"Warn"' in text]


def test_an_object_of_somebody_else_is_not_touched(
    plane: Any, run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "kspec-live-pods"},
        "spec": {"policyName": "mine", "validationActions": ["Deny"]},
    }
    assert plane.request("POST", BINDINGS, foreign).status == 201
    try:
        code, _, err = run(spec(), "--mode", "enforce")
        assert code == 2
        assert "kspec-live-pods already exists, and it was not created by kspec" in err
        assert names(plane, POLICIES) == []
        assert plane.request("GET", f"{BINDINGS}/kspec-live-pods").body["spec"]["policyName"] == "mine"
    finally:
        plane.request("DELETE", f"{BINDINGS}/kspec-live-pods")


def test_two_specifications_stay_apart(plane: Any, run: Any) -> None:
    run(spec(), "--mode", "enforce", name="live")
    run(spec(), "--mode", "audit", name="live-2")
    assert len(names(plane, POLICIES, "live")) == len(names(plane, POLICIES, "live-2")) == 4
    run(spec(), "--remove", name="live-2")
    assert (len(names(plane, POLICIES, "live")), names(plane, POLICIES, "live-2")) == (4, [])


def test_monitor_lists_and_writes_nothing(plane: Any, run: Any) -> None:
    path = f"/api/v1/namespaces/{HELD}/pods"
    assert plane.request("POST", path, BAD).status == 201
    try:
        code, out, _ = run(spec())
        assert code == 1
        assert f"Pod {HELD}/bad" in out
        assert "[podSecurity.standard[hostNamespaces]] spec.hostPID is true" in out
        assert names(plane, POLICIES) == []
    finally:
        plane.request("DELETE", f"{path}/bad", {"gracePeriodSeconds": 0})


def test_outside_of_its_time_nothing_is_bound(plane: Any, run: Any) -> None:
    period = {"enabled": True, "activePeriods": [{"startDate": "2000-01-01", "endDate": "2000-12-31"}]}
    run(spec(), "--mode", "enforce")
    until(plane, 403)
    code, _, err = run(spec(timeBasedActivation=period), "--mode", "enforce")
    assert code == 0
    assert "is not active now" in err
    assert (len(names(plane, POLICIES)), names(plane, BINDINGS)) == (4, [])
    until(plane, 201)
