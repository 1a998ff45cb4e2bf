"""Code of users may end its process at any moment: the command says so and never exits as if all were well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Kspec

WriteSpec = Callable[..., Path]
SPEC = "workloads: {containers: {forbidden: [{key: hostPID, value: true}]}}"
SCAN = ("scan", "spec.yaml", "--cluster", "pod.yaml", "--checks", "own.py")
CHECK = '''
import os, signal, sys, time
from pytest_kspec import check

{top}

@check(id="acme.own", title="Own", severity="low", remediation="Do it.")
def test_own(cluster):
    """Why."""
    {body}
'''
ENDS = {
    "os._exit(0)": "exited with code 0",
    "os._exit(3)": "exited with code 3",
    "os.kill(os.getpid(), signal.SIGKILL)": "was killed by SIGKILL",
    "os.kill(os.getpid(), signal.SIGTERM)": "was killed by SIGTERM",
    "os.execv('/bin/true', ['true'])": "exited with code 0",
}
RAN = "while it ran spec.yaml::pod.yaml::acme.own"
IMPORTED = "while it imported own.py"


@pytest.mark.parametrize("how", ENDS)
def test_a_check_that_ends_its_process(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path, how: str
) -> None:
    write_spec(SPEC)
    (tmp_path / "own.py").write_text(CHECK.format(top="", body=how))
    said = run_kspec(*SCAN, TMPDIR=str(tmp_path))
    assert (said.code, said.out) == (2, "")
    assert f"the process of the checks {ENDS[how]} before it was done, {RAN}" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py", "pod.yaml", "spec.yaml"]


@pytest.mark.parametrize(
    "words",
    [
        SCAN,
        (*SCAN, "-n", "1"),
        ("fix", "spec.yaml", "--cluster", "pod.yaml", "--checks", "own.py"),
        ("diff", "pod.yaml", "pod.yaml", "-s", "spec.yaml", "--checks", "own.py"),
        ("checks", "--checks", "own.py"),
        ("explain", "acme.own", "--checks", "own.py"),
        ("enforce", "spec.yaml", "--checks", "own.py", "--mode", "audit", "-o", "-"),
    ],
    ids=" ".join,
)
def test_every_command_that_imports_checks(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_spec(SPEC)
    (tmp_path / "own.py").write_text(CHECK.format(top="os._exit(0)", body="print()"))
    said = run_kspec(*words)
    assert (said.code, said.out) == (2, "")
    assert f"exited with code 0 before it was done, {IMPORTED}" in said.err


def test_a_specification_that_names_them_is_not_valid(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    write_spec(f"{SPEC}\n  checks: [own.py]")
    (tmp_path / "own.py").write_text(CHECK.format(top="os._exit(0)", body="print()"))
    assert run_kspec("scan", "spec.yaml", "--cluster", "pod.yaml").code == 2
    said = run_kspec("validate", "spec.yaml")
    assert (said.code, said.out) == (2, "")


def test_the_exit_code_is_the_one_that_was_said(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    """Whatever the process does after its last word, or a process of its own before."""
    write_spec(SPEC)
    (tmp_path / "own.py").write_text(
        CHECK.format(
            top="import atexit\natexit.register(os._exit, 0)",
            body="os.fork() or os._exit(0)\n    assert False, 'found'",
        )
    )
    said = run_kspec(*SCAN)
    assert said.code == 1
    assert said.out.count("NOT COMPLIANT") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_checks(
    write_spec: WriteSpec, manifests: Path, tmp_path: Path, number: signal.Signals
) -> None:
    write_spec(SPEC)
    body = "open('begun', 'w').close(); time.sleep(100)"
    (tmp_path / "own.py").write_text(CHECK.format(top="", body=body))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_kspec.cli.main", *SCAN],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (tmp_path / "begun").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "not run: the run ended before its turn" in out
    else:
        assert process.returncode == 2
        assert f"was killed by SIGTERM before it was done, {RAN}" in err
    assert not list(tmp_path.glob("kspec-*"))


def test_a_check_that_no_signal_reaches_ends_at_its_limit(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    write_spec(SPEC)
    body = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(100)"
    (tmp_path / "own.py").write_text(CHECK.format(top="", body=body))
    said = run_kspec(*SCAN, "--check-timeout", "0.5")
    assert said.code == 2
    assert f"exited with code 1 before it was done, {RAN}" in said.err


def test_without_code_of_users_there_is_one_process(
    run_kspec: Kspec, write_spec: WriteSpec, manifests: Path, tmp_path: Path
) -> None:
    write_spec(SPEC)
    (tmp_path / "sitecustomize.py").write_text("import os\ndel os.fork\n")
    words = ("scan", "spec.yaml", "--cluster", "pod.yaml")
    assert run_kspec(*words, PYTHONPATH=str(tmp_path)).code == 0
