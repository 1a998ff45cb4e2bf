"""How commands name things: their own options, and where a key belongs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kspec.cli.main import COMMANDS
from tests.cli.conftest import Kspec


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_names_no_option_of_pytest(kspec: Kspec, command: str) -> None:
    said = kspec(*([command] if command else []), "--help")
    assert said.code == 0
    assert "--kspec-" not in said.out


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "spec.yaml", "--cluster", "all"),
        ("scan", "spec.yaml", "--cluster", "./none"),
        ("scan", "spec.yaml", "--fail-on", "hihg"),
        ("scan", "spec.yaml", "--report", "jsn:x"),
        ("scan", "spec.yaml", "--report", "cr"),
        ("scan", "spec.yaml", "--checks", "none.py"),
        ("scan", "spec.yaml", "--exemptions", "none.yaml"),
        ("scan", "spec.yaml", "--baseline", "none.json"),
        ("scan", "spec.yaml", "--check-timeout", "soon"),
        ("scan", "spec.yaml", "--store", "ftp://x"),
        ("scan", "spec.yaml", "--store-reports", "x"),
        ("scan", "cr:none"),
        ("scan", "spec.yaml", "--cluster", "pod.yaml", "--cluster", "./pod.yaml"),
        ("diff", "pod.yaml", "none", "-s", "spec.yaml"),
        ("fix", "spec.yaml", "--cluster", "none"),
        ("history", "--store", "none.db"),
    ],
    ids=" ".join,
)
def test_errors_name_no_option_of_pytest(
    run_kspec: Kspec, write_spec: object, manifests: Path, words: tuple[str, ...]
) -> None:
    assert callable(write_spec)
    write_spec("podSecurity: {enforce: baseline}")
    said = run_kspec(*words)
    assert said.code not in (0, 1) or "pod.yaml" in words
    assert "--kspec-" not in said.out + said.err


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("defaultDeny: true", "spec.defaultDeny: unknown key. It belongs at spec.network.defaultDeny."),
        (
            "network: {enforce: baseline}",
            "spec.network.enforce: unknown key. It belongs at spec.podSecurity.enforce.",
        ),
        (
            "workloads: {images: {policyExemptions: []}}",
            "spec.workloads.images.policyExemptions: unknown key. It belongs at spec.policyExemptions.",
        ),
        (
            "exemptions: []",
            "spec.exemptions: unknown key. Did you mean 'policyExemptions' or spec.podSecurity.exemptions?",
        ),
        (
            "exemptions: [{name: a, reason: b, checks: [rbac.*]}]",
            "spec.exemptions: unknown key. Did you mean 'policyExemptions'?",
        ),
        (
            "network: {exemptions: [{name: a, reason: b, checks: [rbac.*]}]}",
            "spec.network.exemptions: unknown key. It belongs at spec.policyExemptions.",
        ),
        (
            "exemptions: [{namespace: a, level: baseline, reason: b}]",
            "spec.exemptions: unknown key. It belongs at spec.podSecurity.exemptions.",
        ),
        (
            "exemptions: {checks: [rbac.*]}",
            "spec.exemptions: unknown key. Did you mean 'annotationExemptions'?",
        ),
        ("network: {defaultDney: true}", "unknown key. Did you mean 'defaultDeny'?"),
    ],
)
def test_a_key_at_the_wrong_level_belongs_somewhere(
    kspec: Kspec, write_spec: object, spec: str, said: str
) -> None:
    assert callable(write_spec)
    assert said in kspec("validate", write_spec(spec)).err
