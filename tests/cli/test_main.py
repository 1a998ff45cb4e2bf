"""The command itself: help, errors, and what it costs to start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_kspec
from pytest_kspec.cli.main import COMMANDS

from .conftest import RECORDING, SPEC, Kspec


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(kspec: Kspec, words: list[str]) -> None:
    said = kspec(*words)
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "version"])
@pytest.mark.parametrize("form", ["option", "help"])
def test_each_command_explains_itself_with_examples(kspec: Kspec, name: str, form: str) -> None:
    said = kspec(name, "--help") if form == "option" else kspec("help", name)
    assert said.code == 0
    assert said.out.startswith(f"usage: kspec {name}")
    examples = said.out.split("examples:\n")[1].splitlines()
    assert 2 <= len(examples) <= 5
    assert all(f"kspec {name}" in line for line in examples)


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS if name != "version")])
def test_help_fits_80_columns(kspec: Kspec, words: list[str]) -> None:
    assert [line for line in kspec(*words).out.splitlines() if len(line) > 80] == []


def test_help_breaks_no_name_at_a_hyphen(kspec: Kspec) -> None:
    assert "security-baseline or\n                        compliance-strict;" in kspec("scan", "--help").out
    assert '"in-cluster"' in kspec("init", "--help").out


@pytest.mark.parametrize("word", ["version", "--version", "-V"])
def test_version(kspec: Kspec, word: str) -> None:
    assert kspec(word) == (0, f"kspec {pytest_kspec.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["chekcs"], "kspec: unknown command 'chekcs'. Did you mean 'checks'?"),
        (["obliterate"], "kspec: unknown command 'obliterate'. See 'kspec --help'."),
        (["--hlep"], "kspec: unknown option '--hlep'. Did you mean '--help'?"),
        (["scan", "--custer=x"], "kspec scan: unrecognized arguments: --custer=x. Did you mean '--cluster'?"),
        (["explain"], "kspec explain: the following arguments are required: ID. See 'kspec explain --help'."),
        (["scan"], "no specification is given. Name one, or write one with 'kspec init'."),
        (["snapshot", "-o"], "kspec snapshot: argument -o/--output: expected one argument."),
    ],
)
def test_usage_errors_suggest(kspec: Kspec, words: list[str], error: str) -> None:
    said = kspec(*words)
    assert (said.code, said.out) == (4, "")
    assert said.err.startswith(f"error: {error}")


def test_start_up_imports_nothing_that_a_command_may_need() -> None:
    code = "import sys; from pytest_kspec.cli.main import main; main(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert (
        loaded & {"pytest", "_pytest", "pydantic", "yaml", "msgspec", "kubernetes", "rich", "argparse"}
        == set()
    )


def test_a_reader_that_has_enough_is_no_error() -> None:
    done = subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", f"{sys.executable} -m pytest_kspec.cli.main schema | head -1"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("cluster", "status", "--from", "contexts"), 2),
        (("cluster", "status", "--from", "contexts", "-o", "json"), 2),
        (("cluster", "add", "a", "b", "--apply"), 2),
        (("scan", "spec.yaml", "--cluster", "pod.yaml"), 1),
        (("scan", "spec.yaml", "--cluster", "pod.yaml", "-o", "json"), 2),  # a report that cannot be written
        (("validate", "spec.yaml"), 0),
    ],
)
@pytest.mark.parametrize("both", [False, True], ids=["output", "output and errors"])
def test_a_reader_that_has_enough_does_not_change_what_was_found(
    words: tuple[str, ...], code: int, both: bool, tmp_path: Path
) -> None:
    """`| head` in a pipeline must not turn findings, or a cluster that does not answer, into a success."""
    (tmp_path / "spec.yaml").write_text(SPEC.format(spec="podSecurity: {enforce: restricted}"))
    pod = '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}'
    (tmp_path / "pod.yaml").write_text(pod)
    contexts = "".join(f"- {{name: {name}, context: {{cluster: a, user: a}}}}\n" for name in "ab")
    server = "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]"
    config = tmp_path / "config"
    config.write_text(f"contexts:\n{contexts}{server}\nusers: [{{name: a, user: {{token: t}}}}]\n")
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_kspec.cli.main", *words],
            stdout=writes,
            stderr=writes if both else subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            timeout=100,
            env=os.environ | {"KUBECONFIG": str(config)},
        )
    finally:
        os.close(writes)
    assert done.returncode == code, done.stderr
    assert both or "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["checks", "schema", "--help", "scan {spec} --cluster {recording}"])
def test_a_full_disk_behind_standard_output_is_an_error(words: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(spec='kubernetes: {minVersion: "1.30"}'))
    arguments = words.format(spec=spec, recording=RECORDING).split()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_kspec.cli.main", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert "error: standard output: could not be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["checks", "schema", "scan {spec} --cluster {recording} -o html"])
def test_a_disk_that_fills_while_it_is_written_is_an_error(
    words: str, unbuffered: str, tmp_path: Path
) -> None:
    """The first part fits: a write that is cut short says so by its result only."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(spec='kubernetes: {minVersion: "1.30"}'))
    arguments = words.format(spec=spec, recording=RECORDING).split()
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            [
                "sh",
                "-c",
                'ulimit -f 2; exec "$@"',
                "sh",
                sys.executable,
                "-m",
                "pytest_kspec.cli.main",
                *arguments,
            ],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    assert (tmp_path / "out").stat().st_size == 2 * 512
    assert done.returncode == 2
    assert "error: standard output: " in done.stderr
    assert "could not be written: File too large" in done.stderr
