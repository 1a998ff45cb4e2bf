"""`kspec validate`: all problems of all files, and what is not evaluated."""

from collections.abc import Callable
from pathlib import Path

from .conftest import EXAMPLES, Kspec

WriteSpec = Callable[..., Path]


def test_good_files(kspec: Kspec, write_spec: WriteSpec) -> None:
    path = write_spec("network: {defaultDeny: true}")
    assert kspec("validate", path) == (0, f"{path}: ok, shop 1.0.0, 1 requirement\n", "")
    assert kspec("validate", "-s", path).out == f"{path}: ok, shop 1.0.0, 1 requirement\n"


def test_what_is_not_evaluated_is_said(kspec: Kspec, write_spec: WriteSpec) -> None:
    path = write_spec("{webhooks: {enabled: true}, workloads: {images: {requireDigests: true}}}")
    said = kspec("validate", path)
    assert said.code == 0
    assert said.out.splitlines()[1].startswith(f"  {path}:5:4: webhooks: not evaluated: ")


def test_every_problem_of_every_file(kspec: Kspec, write_spec: WriteSpec) -> None:
    good = write_spec("network: {defaultDeny: true}", "a.yaml")
    bad = write_spec("{netwrok: {}, podSecurity: {enforce: baselin}}", "b.yaml")
    said = kspec("validate", bad, good)
    assert said.code == 4
    assert said.out == f"{good}: ok, shop 1.0.0, 1 requirement\n"
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0] == f"error: {bad}:5:4: spec.netwrok: unknown key. Did you mean 'network'?"
    assert lines[1].startswith(f"error: {bad}:5:40: spec.podSecurity.enforce: 'baselin'")


def test_exemption_files(kspec: Kspec, tmp_path: Path) -> None:
    path = EXAMPLES / "specs" / "exemptions.yaml"
    assert kspec("validate", path) == (0, f"{path}: ok, 2 exemptions\n", "")
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: kspec.dev/v1\nkind: Exemptions\nmetadata: {name: x}\nexemptions: [{name: a}]\n"
    )
    said = kspec("validate", bad)
    assert (said.code, said.out) == (4, "")
    assert "reason" in said.err


def test_the_checks_that_a_specification_names(kspec: Kspec, write_spec: WriteSpec, tmp_path: Path) -> None:
    (tmp_path / "test_bad.py").write_text("import no_such_module\n")
    said = kspec("validate", write_spec("checks: [test_bad.py]"))
    assert said.code == 4
    assert "test_bad.py: cannot be imported: ModuleNotFoundError" in said.err


def test_no_such_file(kspec: Kspec, tmp_path: Path) -> None:
    said = kspec("validate", tmp_path / "none.yaml")
    assert (said.code, said.out) == (4, "")
    assert "the specification does not exist" in said.err


def test_all_examples(kspec: Kspec) -> None:
    said = kspec("validate", EXAMPLES)
    assert (said.code, said.err) == (0, "")


def test_templates(kspec: Kspec, tmp_path: Path) -> None:
    path = EXAMPLES / "04-policies" / "templates" / "limits.yaml"
    assert kspec("validate", path) == (0, f"{path}: ok, template limits, 2 parameters\n", "")
    bad = tmp_path / "bad.yaml"
    bad.write_text(path.read_text().replace("{{ cpu }}", "{{ cpus }}"))
    said = kspec("validate", bad)
    assert said.code == 4
    assert said.err.splitlines()[-1] == (
        f"error: {bad}:22:17: spec.workloads.containers.required[1].when: 'cpus' is not a parameter of this template."
        " Did you mean 'cpu'?"
    )
