"""Each way to a secret of a receiver, and each refusal, is in the audit log once, without the value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.alerts.secrets import Referenced
from pytest_kspec.audit import trail
from pytest_kspec.crds.models.alertconfig import AlertSecretRef
from pytest_kspec.errors import KspecError, NotFound
from pytest_kspec.secretstores.allowed import Allowed, Rule
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed
from pytest_kspec.secretstores.stores import LONGEST, Secrets

VALUE = "hunter2-secret"


class Known:
    """A store with these secrets, each of the same value; what begins with `large` is too large."""

    def read(self, reference: Reference) -> Sealed:
        if "missing" in reference.name:
            raise NotFound("the secret does not exist.", where=str(reference))
        text = "x" * (LONGEST + 1) if "large" in reference.name else json.dumps({"url": VALUE})
        return Sealed((VALUE if reference.key else text).encode(), where=str(reference))


STORES = {"kubernetes": Known(), "vault": Known(), "aws": Known()}
RULES = Allowed((Rule("team-a", "vault", "secret/data/shared/*"),))
CASES: list[tuple[dict[str, str], str, str, str]] = [
    ({"env": "KSPEC_HOOK"}, "", "success", "env:KSPEC_HOOK"),
    ({"env": "KSPEC_UNSET"}, "", "failure", "env:KSPEC_UNSET"),
    ({"env": "KSPEC_HOOK"}, "team-a", "failure", "env:KSPEC_HOOK"),
    ({"file": "hook"}, "", "success", "file:hook"),
    ({"file": "none"}, "", "failure", "file:none"),
    ({"file": "hook"}, "team-a", "failure", "file:hook"),
    ({"name": "hook"}, "team-a", "success", "kubernetes:team-a/hook#url"),
    ({"name": "missing"}, "team-a", "failure", "kubernetes:team-a/missing#url"),
    ({"name": "hook", "namespace": "team-b"}, "team-a", "failure", "kubernetes:team-b/hook#url"),
    ({"name": "hook"}, "", "failure", "kubernetes:hook"),
    ({"name": "Not A Name"}, "team-a", "failure", "kubernetes:Not A Name"),
    ({"store": "vault", "name": "secret/data/shared/hook"}, "team-a", "success", "vault:secret/data/shared/hook#url"),
    ({"store": "vault", "name": "secret/data/own/hook"}, "team-a", "failure", "vault:secret/data/own/hook#url"),
    ({"store": "vault", "name": "secret/data/own/hook"}, "", "success", "vault:secret/data/own/hook#url"),
    ({"store": "vault", "name": "secret/../hook"}, "team-a", "failure", "vault:secret/../hook"),
    ({"store": "aws", "name": "kspec/team-a/hook"}, "team-a", "success", "aws:kspec/team-a/hook#url"),
    ({"store": "aws", "name": "kspec/team-b/hook"}, "team-a", "failure", "aws:kspec/team-b/hook#url"),
]  # fmt: skip


def _records(path: Path) -> list[dict[str, Any]]:
    trail.flush()
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(trail.VARIABLE, str(tmp_path / "audit.log"))
    monkeypatch.setenv("KSPEC_HOOK", VALUE)
    monkeypatch.delenv("KSPEC_UNSET", raising=False)
    Path("hook").write_text(VALUE)
    return tmp_path / "audit.log"


@pytest.mark.parametrize(("ref", "asker", "result", "named"), CASES)
def test_each_way_and_each_refusal_is_recorded_once(
    log: Path, ref: dict[str, str], asker: str, result: str, named: str
) -> None:
    asked = Referenced(Secrets(allowed=RULES, stores=STORES), asker)
    if result == "success":
        assert asked.read(AlertSecretRef.model_validate(ref), "url") == VALUE
    else:
        with pytest.raises(KspecError):
            asked.read(AlertSecretRef.model_validate(ref), "url")
    (one,) = _records(log)
    said = (one["type"], one["action"], one["result"], one["resource"]["name"], one["metadata"]["asker"])
    assert said == ("credential_access", "read", result, named, asker)
    assert one["message"].startswith(f"read the secret {named}")
    assert VALUE not in log.read_text()


@pytest.mark.parametrize("ref", [{"env": "KSPEC_HOOK"}, {"file": "hook"}, {"store": "vault", "name": "a/b"}])
def test_headers_are_recorded_as_well(
    log: Path, ref: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSPEC_HOOK", f"X-Key: {VALUE}")
    Path("hook").write_text(f"X-Key: {VALUE}")
    found = Referenced(Secrets(stores=STORES)).read_all(AlertSecretRef.model_validate(ref))
    assert list(found.values()) == [VALUE]
    (one,) = _records(log)
    assert (one["type"], one["result"]) == ("credential_access", "success")
    assert VALUE not in log.read_text()


def test_a_secret_that_is_too_large_was_not_read(log: Path) -> None:
    with pytest.raises(KspecError, match="larger than 4 MiB"):
        Secrets(stores=STORES).read(Reference("vault", "a/large"), asker="")
    (one,) = _records(log)
    assert one["result"] == "failure"


def test_a_variable_that_is_read_again_is_recorded_again(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that was rotated meanwhile, or is gone."""
    asked, ref = Referenced(Secrets(stores=STORES)), AlertSecretRef.model_validate({"env": "KSPEC_HOOK"})
    assert asked.read(ref, "url") == VALUE
    monkeypatch.setenv("KSPEC_HOOK", "another")
    assert asked.read(ref, "url") == "another"
    monkeypatch.delenv("KSPEC_HOOK")
    with pytest.raises(KspecError):
        asked.read(ref, "url")
    assert [one["result"] for one in _records(log)] == ["success", "success", "failure"]
