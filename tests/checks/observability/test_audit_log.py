"""observability.logging.auditLog: what the API server's flags say, and where they could not be read."""

from typing import Any

import pytest

from builtin_checks.observability.test_audit_log import test_audit_log as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told, verdict

COMMAND = "spec.containers[kube-apiserver].command"
ON = ["--audit-policy-file=/etc/kubernetes/audit.yaml", "--audit-log-path=/var/log/audit.log"]


def api_server(
    *flags: str,
    name: str = "kube-apiserver-a",
    ns: str = "kube-system",
    container: str = "kube-apiserver",
    **fields: Any,
) -> dict[str, Any]:
    main = {
        "name": container,
        "image": "x",
        "command": ["kube-apiserver", "--secure-port=6443", *flags],
        **fields,
    }
    labels = {"component": "kube-apiserver", "tier": "control-plane"}
    raw = obj("v1", "Pod", name, ns, labels=labels, spec={"containers": [main]})
    return raw | {"status": {"phase": "Running"}}


def run(
    *objects: dict[str, Any], days: int | None = None, required: bool = True, **options: Any
) -> list[CheckResult]:
    asked = {"required": required} | ({} if days is None else {"minRetentionDays": days})
    spec = {"observability": {"logging": {"auditLog": asked}}}
    return evaluate(check, objects=objects, spec=spec, **options)


def test_audit_log_that_is_on() -> None:
    assert verdict(run(api_server(*ON))) == "pass"
    assert verdict(run(api_server(ON[0], "--audit-webhook-config-file=/etc/hook.yaml"))) == "pass"
    assert verdict(run(api_server(ON[0], "--audit-log-path", "-"))) == "pass"


@pytest.mark.parametrize(
    "given",
    [
        {"command": ["/usr/local/bin/kube-apiserver"], "args": ON},
        {"command": ["sh", "-c", f"exec kube-apiserver --x {' '.join(ON)} 2>&1"]},
        {"command": ["kube-apiserver", "--audit-policy-file", "/p", "--audit-log-path", "/l"]},
        {"command": None, "args": ON},
        {"command": ["kube-apiserver", "--audit_policy_file=/p", "--audit_log-path", "/l"]},
        {"command": ["kube-apiserver", *ON, "--", "--audit-log-path="]},
        {"command": ["kube-apiserver", "--audit-log-path=", *ON]},
        {
            "command": ["kube-apiserver", ON[0], "--audit-log-path=$(LOG)"],
            "env": [{"name": "LOG", "value": "/l"}],
        },
        {"command": ["kube-apiserver", "$(POLICY)", ON[1]], "env": [{"name": "POLICY", "value": ON[0]}]},
        {
            "command": ["kube-apiserver", ON[0], "--audit-log-path", "$(LOG)"],
            "env": [{"name": "DIR", "value": "/var"}, {"name": "LOG", "value": "$(DIR)/log"}],
        },
        {
            "command": ["kube-apiserver", *ON, "--advertise-address=$(IP)"],
            "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        },
        {"command": ["kube-apiserver", ON[0], "--audit-log-path=$$(LOG)"], "envFrom": [{"secretRef": {}}]},
        {"command": ["kube-apiserver", ON[0], "--audit-log-path=$(NOT_SET)"]},
        {
            "command": ["sh", "-c", f"exec kube-apiserver {' '.join(ON)} --advertise-address=$(hostname -i)"],
        },
    ],
)
def test_flags_are_read_however_they_are_given(given: dict[str, Any]) -> None:
    assert verdict(run(api_server(**given))) == "pass"


EMPTY = [{"name": "LOG", "value": ""}]


@pytest.mark.parametrize(
    "given",
    [
        {"command": ["kube-apiserver", ON[0], "--audit-log-path=$(LOG)"], "env": EMPTY},
        {"command": ["kube-apiserver", ON[0], "--audit-log-path", "$(LOG)"], "env": EMPTY},
        {"command": ["kube-apiserver", *ON, "--audit_log_path="]},
        {"command": ["kube-apiserver", ON[0], "--", ON[1]]},
        {"command": ["kube-apiserver", ON[0], "$(LOG)"], "env": EMPTY},
        {"command": ["kube-apiserver", ON[0], "$$(LOG)"], "env": [{"name": "LOG", "value": ON[1]}]},
    ],
)
def test_flags_that_are_empty_in_the_end_are_unset(given: dict[str, Any]) -> None:
    assert [path for _, path, *_ in told(run(api_server(**given)))] == [f"{COMMAND}[--audit-log-path]"]


HIDDEN_LOG = [{"name": "LOG", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}]


@pytest.mark.parametrize(
    ("given", "told_so"),
    [
        (
            {"command": ["kube-apiserver", ON[0], "--audit-log-path=$(LOG)"], "env": HIDDEN_LOG},
            "--audit-log-path",
        ),
        (
            {"command": ["kube-apiserver", ON[0], "--audit-log-path", "$(LOG)"], "env": HIDDEN_LOG},
            "--audit-log-path",
        ),
        (
            {
                "command": ["kube-apiserver", ON[0], "--audit-log-path=$(B)"],
                "env": [*HIDDEN_LOG, {"name": "B", "value": "a$(LOG)"}],
            },
            "--audit-log-path",
        ),
        (
            {
                "command": ["kube-apiserver", "--audit-policy-file=$(P)"],
                "envFrom": [{"secretRef": {"name": "x"}}],
            },
            "--audit-policy-file",
        ),
        ({"command": ["sh", "-c", f"exec kube-apiserver {ON[0]} --audit-log-path=$LOG"]}, "--audit-log-path"),
        (
            {"command": ["sh", "-c", f"exec kube-apiserver {ON[0]} --audit-log-path `log`"]},
            "--audit-log-path",
        ),
        (
            {"command": ["kube-apiserver", *ON, "$(MORE)"], "envFrom": [{"secretRef": {"name": "x"}}]},
            "command",
        ),
        ({"command": ["sh", "-c", f"exec kube-apiserver {' '.join(ON)} $MORE"]}, "command"),
        ({"command": ["sh", "-c", f"exec kube-apiserver {' '.join(ON)} --${{NAME}}=x"]}, "command"),
    ],
)
def test_flags_that_a_variable_hides_are_an_error(given: dict[str, Any], told_so: str) -> None:
    (result,) = run(api_server(**given))
    assert result.verdict.value == "error"
    expected = (
        f"{told_so} has a value that the pod does not show"
        if told_so[0] == "-"
        else "could not be read from its"
    )
    assert expected in result.reason


def test_each_missing_flag_is_a_finding_on_the_pod() -> None:
    assert told(run(api_server())) == [
        (
            "Pod kube-system/kube-apiserver-a",
            f"{COMMAND}[--audit-log-path]",
            None,
            "neither --audit-log-path nor --audit-webhook-config-file is set",
        ),
        (
            "Pod kube-system/kube-apiserver-a",
            f"{COMMAND}[--audit-policy-file]",
            None,
            "--audit-policy-file is unset: nothing is logged",
        ),
    ]


def test_a_config_map_by_that_name_proves_nothing() -> None:
    config_map = obj("v1", "ConfigMap", "audit-policy", "kube-system", data={"policy.yaml": "x"})
    assert verdict(run(api_server(), config_map)) == "fail"


def test_each_api_server_is_judged() -> None:
    results = run(api_server(*ON), api_server(ON[1], name="kube-apiserver-b"))
    assert [resource for resource, *_ in told(results)] == ["Pod kube-system/kube-apiserver-b"]


@pytest.mark.parametrize(
    "age", ["--audit-log-maxage=90", "--audit-log-maxage=365", "--audit-log-maxage=0", "--x"]
)
def test_retention_can_be_met(age: str) -> None:
    assert verdict(run(api_server(*ON, age), days=90)) == "pass"


def test_retention_that_is_too_short() -> None:
    results = run(api_server(*ON, "--audit-log-maxage=30"), days=90)
    assert told(results) == [
        (
            "Pod kube-system/kube-apiserver-a",
            f"{COMMAND}[--audit-log-maxage]",
            "30",
            "audit logs are deleted after 30 days, must be kept 90",
        )
    ]
    assert results[0].findings[0].expected == "at least 90"


def test_retention_is_asked_also_where_the_log_itself_is_not() -> None:
    server = api_server(*ON, "--audit-log-maxage=30")
    assert verdict(run(server, days=90, required=False)) == "fail"
    assert run(server, required=False) == []


@pytest.mark.parametrize(
    ("age", "expected"), [("0132", "pass"), ("090", "error"), ("0x5a", "pass"), ("0100", "fail")]
)
def test_retention_is_a_number_as_the_api_server_reads_it(age: str, expected: str) -> None:
    """With a 0 in front it is octal: 0100 are 64 days."""
    assert verdict(run(api_server(*ON, f"--audit-log-maxage={age}"), days=90)) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (["set -e; exec kube-apiserver FLAGS 2>&1 | tee /log"], "pass"),
        (["A=1 /bin/kube-apiserver \\\n FLAGS # all\necho"], "pass"),
        (["kube-apiserver --v=1 && echo FLAGS"], "fail"),
        (["kube-apiserver --v=1; echo FLAGS"], "fail"),
        (["kube-apiserver --v=1 # it runs\necho FLAGS"], "fail"),
        (["kube-apiserver --v=1", "x", "FLAGS"], "fail"),
        (["kube-apiserver", *ON], "fail"),
        (["kube-apiserver --help FLAGS || true; kube-apiserver"], "error"),
        (["echo kube-apiserver FLAGS"], "error"),
        (["if false; then kube-apiserver FLAGS; fi"], "error"),
        (["/start FLAGS"], "error"),
    ],
)
def test_flags_of_another_command_of_a_script_do_not_count(script: list[str], expected: str) -> None:
    words = [part.replace("FLAGS", " ".join(ON)) for part in script]
    assert verdict(run(api_server(command=["/bin/sh", "-ec", *words]))) == expected


@pytest.mark.parametrize(
    ("flags", "told_so"),
    [
        ([ON[0], "--audit-log-path=-"], "audit events go to standard output"),
        ([ON[0], "--audit-webhook-config-file=/h"], "audit events go to a webhook"),
        ([*ON, "--audit-log-maxage=long"], "--audit-log-maxage is 'long', not a number of days"),
        ([*ON, "--audit-log-maxage=-1"], "--audit-log-maxage is '-1', not a number of days"),
        ([*ON, "--audit-log-maxage= 90"], "--audit-log-maxage is ' 90', not a number of days"),
    ],
)
def test_retention_that_cannot_be_read_is_an_error(flags: list[str], told_so: str) -> None:
    (result,) = run(api_server(*flags), days=90)
    assert result.verdict.value == "error"
    assert told_so in result.reason


def test_a_control_plane_without_pods_is_an_error_that_says_what_to_do() -> None:
    impostor = api_server(*ON, ns="tenant-a")
    (result,) = run(impostor)
    assert result.verdict.value == "error"
    assert "no kube-apiserver pod in kube-system" in result.reason
    assert "EKS control plane logging" in result.reason


@pytest.mark.parametrize(
    "given",
    [
        {"command": ["/start.sh"]},
        {"command": ["hyperkube-wrapper"], "args": []},
        {"command": ["kube-apiserver", "--openshift-config=/etc/config.yaml"]},
    ],
)
def test_flags_that_are_not_in_the_command_are_an_error(given: dict[str, Any]) -> None:
    (result,) = run(api_server(**given))
    assert result.verdict.value == "error"
    assert "could not be read from its command" in result.reason


def test_pods_that_may_not_be_listed_are_an_error() -> None:
    assert verdict(run(denied=["pods"])) == "error"


def test_manifests() -> None:
    assert verdict(run(kind="manifests", version="")) == "skip"
    assert verdict(run(api_server(), kind="manifests", version="")) == "fail"
