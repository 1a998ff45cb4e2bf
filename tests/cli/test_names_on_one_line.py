"""A name or a path with a line break is shown on one line: what follows the break is not a line of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_kspec.crds.models.alertconfig import WebhookNotifier
from pytest_kspec.errors import KspecError, SpecError

from .conftest import Kspec, Said

FORGED = "✓ forged: accepted the alert and its end"
ODD = f"x\n{FORGED}"
SPEC = """\
apiVersion: kspec.io/v1alpha1
kind: ClusterSpecification
metadata: {name: small}
spec:
  workloads:
    containers:
      forbidden: [{field: securityContext.privileged, value: "true"}]
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: b}
spec: {containers: [{name: c, image: d}]}
"""
COMMANDS = (
    ("scan", ODD),
    ("scan", "spec.yaml", "--cluster", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "--store", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "--report", f"json:{ODD}"),
    ("scan", "spec.yaml", "--cluster", "pods", "--report", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "--baseline", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "--exemptions", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "--checks", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "-k", ODD),
    ("scan", "spec.yaml", "--cluster", "pods", "--store", "r.db", "--alert", ODD),
    ("scan", "spec.yaml", "--kubeconfig", ODD, "--cluster", ODD),
    ("scan", "--template", ODD, "--cluster", "pods"),
    ("validate", ODD),
    ("history", "--store", ODD),
    ("history", "--store", f"postgresql://u@127.0.0.1:1/{ODD}"),
    ("history", "add", ODD, "--store", "r.db"),
    ("alert", "list", "--store", ODD),
    ("alert", "test", ODD),
    ("alert", "test", "alerts.yaml", "--notifier", ODD),
    ("alert", "test", "odd-alerts.yaml"),
    ("audit", "verify", ODD),
    ("audit", "verify", "odd.log\n✓ forged"),
    ("dashboard", "--store", ODD),
    ("dashboard", "--serve", "--no-auth", "--store", ODD),
    ("drift", "history", "--store", ODD),
    ("fleet", "list", "--store", ODD),
    ("fleet", "scan", "spec.yaml", "--context", ODD, "--store", "f.db"),
    ("report", "--from", ODD),
    ("diff", ODD, ODD),
    ("snapshot", ODD, "-o", ODD),
    ("snapshot", "pods", "-o", ODD),
    ("evidence", "result.json", "-o", ODD),
    ("verify", ODD),
    ("explain", ODD),
    ("frameworks", ODD),
    ("checks", "--checks", ODD),
    ("render", ODD),
    ("fix", "--from", ODD),
    ("enforce", ODD, "--cluster", ODD),
    ("init", "--cluster", ODD, "-o", ODD),
    ("schema", "-o", ODD),
    ("crds", "-o", ODD),
    (ODD,),
)
IN_A_PROCESS = {"scan", "fix", "diff"}
"""They start pytest."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("odd")
    (made / "spec.yaml").write_text(SPEC)
    (made / "pods").mkdir()
    (made / "pods" / "all.yaml").write_text(POD)
    (made / "odd.log\n✓ forged").write_text("no record\n")
    for name, notifier in (("alerts.yaml", "ops"), ("odd-alerts.yaml", ODD)):
        hook = {"name": notifier, "enabled": True, "url": "http://127.0.0.1:1/x", "retryAttempts": 0}
        head = {"apiVersion": "kspec.io/v1alpha1", "kind": "AlertConfig", "metadata": {"name": "ci"}}
        (made / name).write_text(json.dumps({**head, "spec": {"webhooks": [hook]}}))
    return made


def _id(words: tuple[str, ...]) -> str:
    return " ".join(words).replace("\n", "\\n")[:60]


def _look(said: Said) -> None:
    lines = (said.out + said.err).splitlines()
    assert lines
    for line in lines:
        assert not line.lstrip().startswith(("✓ forged", f"error: {FORGED}")), lines
    assert "Traceback" not in said.err


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] in IN_A_PROCESS], ids=_id)
def test_a_scan_begins_no_line_with_what_follows_a_line_break(
    run_kspec: Kspec, folder: Path, words: tuple[str, ...]
) -> None:
    _look(run_kspec(*words, cwd=folder, KSPEC_AUDIT_LOG=f"none\n{FORGED}/log"))


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] not in IN_A_PROCESS], ids=_id)
def test_a_command_begins_no_line_with_what_follows_a_line_break(
    kspec: Kspec, folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    _look(kspec(*words))


@pytest.mark.parametrize("name", [ODD, "a\r", "a\x1b[2J", "a\u2028b", "\x85", " ", ""])
def test_a_notifier_has_a_name_of_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        WebhookNotifier.model_validate({"name": name, "enabled": True, "url": "https://example.com"})


def test_an_error_is_one_line_and_several_problems_are_one_each() -> None:
    assert str(KspecError(f"is {ODD}.", where=ODD)) == f"x\\n{FORGED}: is x\\n{FORGED}."
    assert str(SpecError("", problems=("a\nb", "c"))).splitlines() == ["a\\nb", "c"]
