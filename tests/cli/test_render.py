"""`kspec render`: what is printed is a specification that says the same, and where it says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pytest_kspec.spec.loading import find_specs, load_spec, spec_from_text

from .conftest import EXAMPLES, Kspec

WriteSpec = Callable[..., Path]


def test_values_and_where_they_are_written(
    kspec: Kspec, write_spec: WriteSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = write_spec(
        "network: {disallowedPorts: [22]}\n"
        "  workloads: {containers: {required: [{key: hostPID, value: 'false'}, {key: hostIPC, exists: false}]}}",
        "base.yaml",
    )
    base.write_text(base.read_text().replace("shop", "base"))
    write_spec(
        "policyInheritance: {basePolicies: [base]}\n  network: {disallowedPorts: [23], defaultDeny: true}"
    )
    assert kspec("render", "spec.yaml") == (
        0,
        "apiVersion: kspec.dev/v1\n"
        "kind: ClusterSpecification\n"
        "metadata:\n"
        "  name: shop\n"
        "  version: 1.0.0\n"
        "spec:\n"
        "  network:\n"
        "    disallowedPorts:\n"
        "      - 22                # from base.yaml:5\n"
        "      - 23                # from spec.yaml:6\n"
        "    defaultDeny: true     # from spec.yaml:6\n"
        "  workloads:\n"
        "    containers:\n"
        "      required:\n"
        "        - key: hostPID    # from base.yaml:6\n"
        "          value: 'false'  # from base.yaml:6\n"
        "        - key: hostIPC    # from base.yaml:6\n"
        "          exists: false   # from base.yaml:6\n",
        "",
    )


def test_json(kspec: Kspec, write_spec: WriteSpec) -> None:
    path = write_spec("policyTemplate: {name: security-baseline}\n  podSecurity: {warn: restricted}")
    made = json.loads(kspec("render", path, "-o", "json").out)
    assert made["metadata"] == {"name": "shop", "version": "1.0.0"}
    assert made["spec"]["podSecurity"]["enforce"] == "baseline"
    assert made["places"]["spec.podSecurity.warn"] == f"{path}:6:23"
    assert made["places"]["spec.workloads.containers.forbidden[1].key"].startswith("<security-baseline>:")


@pytest.mark.parametrize("path", find_specs([str(EXAMPLES)]), ids=lambda path: path.name)
def test_what_is_printed_says_the_same(kspec: Kspec, path: Path) -> None:
    out = kspec("render", path).out
    assert spec_from_text(out, str(path)).tree.plain() == load_spec(path).tree.plain()
    assert spec_from_text(out, str(path)).description == load_spec(path).description
    assert yaml.safe_load(out)["kind"] == "ClusterSpecification"


@pytest.mark.parametrize(
    "text",
    [
        "1.30",
        "yes",
        "null",
        "~",
        "a: b",
        "# no",
        "1",
        "true",
        "'",
        '"',
        "ä\n\tb",
        " x ",
        "- a",
        "{{ a }}",
        "*a",
    ],
)
def test_text_stays_text(kspec: Kspec, write_spec: WriteSpec, text: str) -> None:
    path = write_spec(
        f"workloads: {{containers: {{forbidden: [{{key: image, value: {json.dumps(text)}}}]}}}}"
    )
    out = kspec("render", path).out
    assert spec_from_text(out).tree.plain()["workloads"]["containers"]["forbidden"][0]["value"] == text


def test_bases_of_elsewhere(kspec: Kspec, write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "bases").mkdir()
    base = write_spec("network: {defaultDeny: true}", "bases/base.yaml")
    base.write_text(base.read_text().replace("shop", "base"))
    path = write_spec("policyInheritance: {basePolicies: [base]}")
    failed = kspec("render", path)
    assert (failed.code, failed.out) == (4, "")
    assert "no specification has the name 'base'" in failed.err
    assert "defaultDeny: true" in kspec("render", path, "--with", tmp_path / "bases").out


def test_templates(kspec: Kspec) -> None:
    said = kspec("render", "--templates")
    assert said.code == 0
    assert "security-baseline\n  What every cluster should have." in said.out
    assert '  podSecurityLevel (string, default "baseline", one of baseline, restricted)\n' in said.out
    assert all(len(line) <= 80 for line in said.out.splitlines())


def test_without_a_specification(kspec: Kspec) -> None:
    said = kspec("render")
    assert (said.code, said.out) == (4, "")
    assert "no specification is given" in said.err
