"""Attestations of a scan, read with in-toto's own types, and forged by somebody who has the key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as Predicate
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementPb
from msgspec.structs import replace

from pytest_kspec.cli.main import main
from pytest_kspec.errors import EvidenceError, UsageError
from pytest_kspec.evidence import attestation
from pytest_kspec.evidence.signature import load_private, sign
from pytest_kspec.reports import writer
from pytest_kspec.results.evidence import Evidence
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.spec.notes import NotEvaluated
from tests.evidence.conftest import Keys, openssl
from tests.reports import results

SPEC = Evidence("prod-eu", "a" * 64, "2026-11-24T05:00:00Z", "b" * 64)
KNOWN = results.finding(results.ref("Pod", "p"), "spec.x", True, "false", known=True)
PASS = results.check("a.pass", "P", "low", "pass")
TOLERATED = results.check("b.known", "K", "low", "pass", findings=(KNOWN,))
SKIP = results.check("c.skip", "S", "low", "skip")
FAIL = results.check("d.fail", "F", "low", "fail")
ERROR = results.check("e.error", "E", "low", "error", reason="forbidden")
LEFT = NotEvaluated("some.key", "not supported", "spec.yaml:1:1")
INACTIVE = NotEvaluated("timeBasedActivation", "not active", "spec.yaml:1:1")


def cluster(*checks: CheckResult, left: tuple[NotEvaluated, ...] = ()) -> ClusterResult:
    return results.cluster(checks=checks, exemptions=(), not_evaluated=left, frameworks=(), evidence=SPEC)


def predicate_of(*clusters: ClusterResult, run_by: str = "") -> dict[str, Any]:
    result = replace(results.scan(*clusters), run_by=run_by)
    found: dict[str, Any] = json.loads(writer.render(result, "intoto"))["predicate"]
    return found


@pytest.mark.parametrize(
    ("clusters", "word", "passed", "warned", "failed"),
    [
        ((cluster(PASS, SKIP),), "PASSED", ["a.pass"], [], []),
        ((cluster(PASS, TOLERATED),), "WARNED", ["a.pass"], ["b.known"], []),
        ((cluster(PASS, left=(LEFT,)),), "WARNED", ["a.pass"], ["some.key"], []),
        ((cluster(SKIP, left=(INACTIVE,)),), "WARNED", [], ["timeBasedActivation"], []),
        ((cluster(PASS, TOLERATED, FAIL),), "FAILED", ["a.pass"], ["b.known"], ["d.fail"]),
        ((cluster(PASS, ERROR),), "FAILED", ["a.pass"], [], ["e.error"]),
        ((cluster(SKIP),), "FAILED", [], [], [""]),
        ((cluster(),), "FAILED", [], [], [""]),
        ((), "FAILED", [], [], []),
    ],
)
def test_what_a_verdict_becomes(
    clusters: tuple[ClusterResult, ...], word: str, passed: list[str], warned: list[str], failed: list[str]
) -> None:
    def named(ids: list[str]) -> list[str]:
        return [f"strict.prod-eu: {name}" if name else "strict.prod-eu" for name in ids]

    configuration = [{"name": "strict", "digest": {"sha256": "b" * 64}, "annotations": {"version": "1.2.0"}}]
    assert predicate_of(*clusters) == {
        "result": word,
        "configuration": configuration if clusters else [],
        "passedTests": named(passed),
        "warnedTests": named(warned),
        "failedTests": named(failed),
    }


def test_names_are_unique_and_the_job_is_the_url() -> None:
    job = "https://git.example.com/jobs/71"
    found = predicate_of(cluster(PASS), cluster(PASS), run_by=job)
    names = found["passedTests"]
    assert len(set(names)) == len(names) == 2
    assert found["url"] == job
    assert "url" not in predicate_of(cluster(PASS), run_by="me@host")


EVIL = results.cluster(results.ESCAPES, checks=(results.check(results.ESCAPES, "x", "low", "pass"),))


@pytest.mark.parametrize("result", [results.one(), results.fleet(3, 12, 2), results.scan(EVIL)])
def test_in_toto_reads_it(result: ScanResult) -> None:
    content = writer.render(result, "intoto")
    read = json_format.Parse(content, StatementPb())
    Statement.copy_from_pb(read).validate()
    assert [entry.digest["sha256"] for entry in read.subject] == [
        hashlib.sha256(writer.render(result, "json")).hexdigest()
    ]
    predicate = json_format.ParseDict(json_format.MessageToDict(read.predicate), Predicate())
    for entry in predicate.configuration:
        ResourceDescriptor.copy_from_pb(entry).validate()
    tests = [*predicate.passed_tests, *predicate.warned_tests, *predicate.failed_tests]
    assert tests
    assert all(name.isprintable() for name in tests)


Change = Callable[[dict[str, Any]], object]
RESULT = writer.render(results.scan(cluster(PASS, TOLERATED, FAIL, ERROR)), "json")


def differences(change: Change) -> list[str]:
    found = json.loads(attestation.attest(RESULT, "r.json"))
    change(found)
    raw = json.dumps(found).encode()
    return attestation.verify(attestation.read(raw, "r.intoto.json"), RESULT, "r.intoto.json", "r.json")


def test_what_was_attested_is_verified() -> None:
    assert differences(lambda _: None) == []


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda s: s["predicate"].update(result="PASSED"), ["predicate.result: is not what the result says"]),
        (
            lambda s: s["predicate"]["warnedTests"].append(s["predicate"]["failedTests"].pop()),
            [
                'predicate.failedTests: "strict.prod-eu: e.error" is missing',
                'predicate.warnedTests: "strict.prod-eu: e.error" is not what the result says',
            ],
        ),
        (
            lambda s: s["predicate"]["passedTests"].append("strict.prod-eu: a.pass"),
            ["predicate.passedTests: is in another order, or has names twice"],
        ),
        (
            lambda s: s["predicate"].update(failedTests={"a": 1}),
            ["predicate.failedTests: is not a list of names"],
        ),
        (
            lambda s: s["predicate"].pop("configuration"),
            ["predicate.configuration: is not what the result says"],
        ),
        (lambda s: s["predicate"].update(url="https://x"), ['predicate."url": does not belong there']),
        (lambda s: s.update(more=1), ['"more": does not belong there']),
        (lambda s: s["subject"][0].update(name="other"), ["subject: is not what the result says"]),
    ],
)
def test_what_was_forged_is_named(change: Change, lines: list[str]) -> None:
    assert differences(change) == lines


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s.update(subject=None),
        lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda s: s.update(predicate=[]),
    ],
)
def test_what_is_about_something_else_is_refused(change: Change) -> None:
    with pytest.raises(EvidenceError):
        differences(change)


def test_a_result_that_two_readers_read_differently_is_not_attested() -> None:
    twice = RESULT.replace(b'"kind":', b'"runBy": "a", "kind":', 1)
    with pytest.raises(EvidenceError, match="twice"):
        attestation.attest(twice, "r.json")
    odd = json.loads(RESULT)
    odd["runBy"] = 5
    with pytest.raises(UsageError, match=r"is not a complete ScanResult .*`str`, got `int` - at `\$.run_by`"):
        attestation.attest(json.dumps(odd).encode(), "r.json")


def test_a_specification_without_a_digest_is_not_attested() -> None:
    with pytest.raises(UsageError, match="does not name the specification"):
        attestation.attest(writer.render(results.one(), "json"), "r.json")


def test_it_is_signed_as_a_bundle_is(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_bytes(RESULT)
    made = ["evidence", "--from", "r.json", "--key", str(keys.private), "-o", "r.intoto.json"]
    assert main(made) == 0
    result = json.loads(RESULT)
    assert json.loads(Path("r.intoto.json").read_bytes())["subject"][0]["annotations"]["totals"][
        "requirements"
    ] == {name: result["summary"][name] for name in ("pass", "fail", "error", "skip")}
    verify = ["verify", "r.intoto.json", "--key", str(keys.public)]
    assert main([*verify, "--result", "r.json"]) == 0
    assert (
        "attestation: FAILED: 1 passed, 1 warned, 2 failed tests, the same as in r.json"
        in capsys.readouterr().out
    )
    assert openssl("base64", "-d", "-A", "-in", "r.intoto.json.sig", "-out", "sig").returncode == 0
    checked = openssl("dgst", "-sha256", "-verify", keys.public, "-signature", "sig", "r.intoto.json")
    assert checked.returncode == 0
    assert main(verify) == 4  # without its result nothing but the signature could be verified
    assert main([*verify, "--no-replay"]) == 0
    Path("r.json").write_bytes(RESULT + b" ")
    assert main([*verify, "--result", "r.json"]) == 1
    assert "it is not about r.json" in capsys.readouterr().err
    Path("r.json").write_bytes(RESULT)
    forged = Path("r.intoto.json").read_bytes().replace(b'"FAILED"', b'"PASSED"')
    Path("r.intoto.json").write_bytes(forged)
    assert main([*verify, "--result", "r.json"]) == 1
    assert "the signature does not match" in capsys.readouterr().err
    with Path("r.intoto.json").open("rb") as file:
        Path("r.intoto.json.sig").write_bytes(sign(file, load_private(str(keys.private), None)))
    assert main([*verify, "--result", "r.json"]) == 1
    assert "  predicate.result: is not what the result says\n" in capsys.readouterr().out
    assert main([*made, "--spec", "x.yaml"]) == 4
