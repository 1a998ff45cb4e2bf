"""`kspec diff`: results, recordings and clusters against each other, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import EXAMPLES, POD, RECORDING, Kspec

WriteSpec = Callable[..., Path]
HOST = "workloads: {containers: {forbidden: [{key: hostNetwork, value: true}, {key: hostPID, value: true}]}}"
STRICT = EXAMPLES / "01-quickstart" / "strict.yaml"


@pytest.fixture
def result(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path) -> Path:
    run_kspec("scan", write_spec(HOST), "--cluster", manifests, "--report", "json:before.json")
    return tmp_path / "before.json"


def test_two_results(run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, result: Path) -> None:
    manifests.write_text(POD.replace("hostNetwork: true", "hostPID: true"))
    run_kspec("scan", write_spec(HOST), "--cluster", manifests, "--report", "json:after.json")
    said = run_kspec("diff", result, "after.json")
    assert (said.code, said.err) == (1, "")
    assert "   1 new · 1 fixed\n" in said.out
    assert " + new       high      workloads.containers.forbidden[hostPID]\n   · Pod shop/web\n" in said.out
    assert "workloads.containers.forbidden[hostNetwork]  fail → pass\n" in said.out
    assert said.out.endswith("✗ SOMETHING NEW\n  1 new · 1 fixed\n")
    assert max(map(len, said.out.splitlines())) <= 80
    back = run_kspec("diff", "after.json", "after.json")
    assert (back.code, back.out.splitlines()[-2]) == (0, "✓ NOTHING NEW")


def test_a_result_and_a_cluster(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, result: Path
) -> None:
    again = run_kspec("diff", result, manifests, "-s", write_spec(HOST))
    assert (again.code, again.out.splitlines()[-1]) == (0, "  1 unchanged")
    other = manifests.with_name("other.yaml")
    other.write_text(POD + "  hostPID: true\n")
    said = run_kspec("diff", result, other, "-s", write_spec(HOST), "-o", "json")
    assert said.code == 1
    (compared,) = json.loads(said.out)["findings"]["clusters"]
    assert (compared["nameBefore"], compared["name"]) == ("pod.yaml", "other.yaml")
    assert (compared["counts"]["new"], compared["counts"]["unchanged"]) == (1, 1)


def test_what_cannot_be_evaluated_is_unknown(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, result: Path
) -> None:
    manifests.write_text(POD.replace("containers: [", "containers: [7, "))
    said = run_kspec("diff", result, manifests, "-s", write_spec(HOST))
    assert said.code == 2
    assert "fixed" not in said.out
    assert "! NOT FULLY EVALUATED" in said.out


def test_two_snapshots(run_kspec: Kspec) -> None:
    said = run_kspec("diff", RECORDING, RECORDING)
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("   no object differs\n")
    said = run_kspec("diff", RECORDING, RECORDING, "-s", STRICT, "-o", "markdown")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("### prod-eu: strict\n")
    assert "No object differs." in said.out


def test_a_cluster_needs_a_specification(run_kspec: Kspec, manifests: Path, result: Path) -> None:
    said = run_kspec("diff", result, manifests)
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith("error: kspec diff: '")
    assert said.err.endswith("Add the specification for the scan: -s SPEC.\n")


def test_usage_errors(run_kspec: Kspec, write_spec: WriteSpec, result: Path) -> None:
    assert run_kspec("diff", result).code == 4
    assert run_kspec("diff", result, "./nowhere", "-s", write_spec(HOST)).code == 4
    assert run_kspec("diff", result, result, "-o", "xml").code == 4
    result.write_text(result.read_text().replace('"clusters"', '"klusters"', 1))
    said = run_kspec("diff", result, result)
    assert (said.code, "is not a complete ScanResult" in said.err) == (4, True)


def test_nothing_evaluated_is_not_everything_fixed(
    run_kspec: Kspec, write_spec: WriteSpec, result: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
    )
    spec = write_spec(HOST)
    said = run_kspec("diff", result, "wrong.yaml", "-s", spec)
    assert said.code == 2
    assert "wrong.yaml: nothing was evaluated for shop 1.0.0" in said.err
    assert run_kspec("diff", result, "wrong.yaml", "-s", spec, "--allow-empty").code == 0
    run_kspec("scan", spec, "--cluster", "wrong.yaml", "--report", "json:after.json")
    assert run_kspec("diff", result, "after.json").code in (0, 2)
