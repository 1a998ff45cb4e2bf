"""Scripts for shells, judged by the shells where they are there, and by what they hold."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_kspec.cli.commands.completion import SHELLS
from pytest_kspec.cli.main import COMMANDS

from .conftest import Kspec


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_knows_every_command_and_option(kspec: Kspec, shell: str) -> None:
    said = kspec("completion", shell)
    assert (said.code, said.err) == (0, "")
    for name in COMMANDS:
        assert name in said.out
    for option in ("allow-empty", "fail-on", "kubeconfig", "run-checks"):
        assert option in said.out


def complete(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    line = " ".join(words)
    ask = (
        f"source {script}\n"
        f"COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}'); COMP_CWORD={len(words) - 1}\n"
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}\n"
        "name=$(complete -p kspec | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $name; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes(kspec: Kspec, tmp_path: Path) -> None:
    script = tmp_path / "kspec.bash"
    script.write_text(kspec("completion", "bash").out)
    assert complete(script, "kspec", "sc") == {"scan", "schema"}
    assert complete(script, "kspec", "scan", "--fail") == {"--fail-on"}
    assert complete(script, "kspec", "fix", "--format", "") == {"strategic", "json"}
    (tmp_path / "prod.yaml").touch()
    assert complete(script, "kspec", "validate", f"{tmp_path}/pr") == {f"{tmp_path}/prod.yaml"}


def test_another_shell(kspec: Kspec) -> None:
    said = kspec("completion", "ksh")
    assert said.code == 4
    assert "bash" in said.err
