"""Exec plugins that misbehave: what they print goes nowhere, and they end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.api import execplugin
from pytest_kspec.cluster.api.contexts import Cluster, Context, Exec, ExecVariable, User
from pytest_kspec.cluster.api.execplugin import Credential
from pytest_kspec.errors import AccessDenied, SourceError, SourceUnavailable
from tests.cluster.api import kubeconfig

V1 = "client.authentication.k8s.io/v1"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl"


def run(tmp_path: Path, script: str, **fields: Any) -> Credential:
    path = tmp_path / "kspec-login"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    plugin = Exec(command=str(path), api_version=V1, interactive_mode="Never")
    for name, value in fields.items():
        setattr(plugin, name, value)
    return execplugin.run(Context("prod", Cluster(server="https://x"), User(exec=plugin)), plugin, "")


def failed(tmp_path: Path, script: str, **fields: Any) -> str:
    with pytest.raises(AccessDenied) as raised:
        run(tmp_path, script, **fields)
    return str(raised.value)


def complaint(tmp_path: Path, script: str, **fields: Any) -> str:
    """What is shown of its standard error."""
    text = failed(tmp_path, f"{script}\nexit 3", **fields)
    head = "it exited with code 3"
    shown = text.partition(head)[2].partition(". Run `kubectl")[0]
    return shown.removeprefix(": ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (r"login first.\n", "login first"),
        (r"\0033[2J\0033[31mred\0033[0m\0033]0;title\0007 end\r\n", "red end"),
        (r"a\0000b\0010c\0233d\0302\0233e", "a b c\N{REPLACEMENT CHARACTER}d e"),
        (r"::error::x\n::set-output", "::error::x ::set-output"),
        (r"token: abc123\n", "token: (redacted)"),
        (r"--password=hunter2 x\n", "--password=(redacted) x"),
        (r'{"access_token": "hunter2"}', '{"access_token": "(redacted)"}'),
        (r"Authorization: Bearer hunter2\n", "Authorization: (redacted)"),
        (rf"got {JWT}\n", "got (redacted)"),
        (
            r"AKIAIOSFODNN7EXAMPLE and https://me:hunter2@idp.example.com/x",
            "(redacted) and https://me:(redacted)@idp.example.com/x",
        ),
        (r"key 9c1185a5c5e9fc54612808977ee8f548b2258d31", "key (redacted)"),
        (
            r"no /var/lib/cloud/cache-2026-11/credentials.json here",
            "no /var/lib/cloud/cache-2026-11/credentials.json here",
        ),
        (r"/cache/9c1185a5c5e9fc54612808977ee8f548b2258d31/x", "/cache/(redacted)/x"),
        (r"aGVsbG8/d29ybGQ1+aGVsbG8/d29ybGQ=", "(redacted)"),
    ],
)
def test_standard_error_is_one_line_without_credentials(text: str, shown: str, tmp_path: Path) -> None:
    found = complaint(tmp_path, f"printf '%b' '{text}' >&2")
    assert found == shown
    assert found.isprintable()


def test_what_the_kubeconfig_and_the_environment_hold_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_SECRET", "of the environment")
    found = complaint(
        tmp_path,
        'echo "$CLOUD_SECRET / $CLIENT_TOKEN / $2 / $3 / $REGION" >&2',
        env=[ExecVariable("CLIENT_TOKEN", "of the plugin"), ExecVariable("REGION", "eu-1")],
        args=["--client-secret", "first word", "--api-key=second word"],
    )
    assert found == "(redacted) / (redacted) / (redacted) / --api-key=(redacted) / eu-1"


def test_a_long_complaint_is_cut_at_its_beginning(tmp_path: Path) -> None:
    found = complaint(tmp_path, "yes 'some words' | head -n 300000 >&2; echo the end >&2")
    assert len(found) == 256
    assert found.startswith("…")
    assert found.endswith("some words the end")


def test_what_it_prints_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="prints more than 1 MiB"):
        run(tmp_path, "yes")


@pytest.mark.parametrize("then", ["yes >&2", "exec >&- 2>&-; sleep 30", "while :; do echo; sleep 0.1; done"])
def test_one_that_never_ends_is_ended(then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execplugin, "TIMEOUT_S", 1.0)
    pid = tmp_path / "pid"
    with pytest.raises(SourceUnavailable, match="took more than 1 s"):
        run(tmp_path, f"echo $$ >{pid}; {then}")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize("then", ["sleep 600", "exec >&- 2>&-; sleep 600"])
def test_one_that_hangs_ends_with_the_process_that_waits_for_it(then: str, tmp_path: Path) -> None:
    """However that ends: a fleet kills the scan of a cluster that does not answer in time. Also what it started."""
    pids = tmp_path / "pids"
    (tmp_path / "kspec-login").write_text(
        f"#!/bin/sh\necho $$ >{pids}\nsleep 600 >&- 2>&- &\necho $! >>{pids}\n{then}\n"
    )
    (tmp_path / "kspec-login").chmod(0o755)
    code = (
        "from tests.cluster.test_execplugin import *\n"
        "from pytest_kspec.cluster.api import execplugin\n"
        "add = execplugin._GUARD.add\n"
        "execplugin._GUARD.add = lambda group: (add(group), print('guarded', flush=True))\n"
        f"plugin = Exec(command={str(tmp_path / 'kspec-login')!r}, api_version=V1, interactive_mode='Never')\n"
        "execplugin.run(Context('prod', Cluster(server='https://x'), User(exec=plugin)), plugin, '')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "guarded\n"
        waiting.kill()
    deadline = time.monotonic() + 30
    for pid in map(int, pids.read_text().split()):
        while _lives(pid):
            assert time.monotonic() < deadline, "it goes on"
            time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_the_hint_is_shown_where_the_program_is_missing(tmp_path: Path) -> None:
    hint = "brew install \x1b[1mcloud\x1b[0m-login\nthen: cloud-login"
    for command in ("kspec-no-such-program", "/nowhere/cloud-login", "/usr"):
        assert failed(tmp_path, "", command=command, install_hint=hint) == (
            f"prod: the exec plugin {command!r} gave no credentials: the program was not found. "
            "Install it: brew install cloud -login then: cloud-login"
        )
    assert failed(tmp_path, "", command="kspec-no-such-program").endswith(
        "the program was not found. Install it."
    )


def test_nothing_runs_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (".", "", ".:/usr/bin", ":/usr/bin", "/usr/bin:"):
        monkeypatch.setenv("PATH", path)
        assert (
            "from which kspec runs no programs" in failed(tmp_path, "touch ran", command="kspec-login")
            or path == ""
        )
        assert not Path("ran").exists()


@pytest.mark.parametrize("mode", ["Never", "IfAvailable", None])
def test_it_has_no_terminal(mode: str | None, tmp_path: Path) -> None:
    """A scan on a terminal: what the plugin writes to it does not arrive, and it is told so."""
    path = tmp_path / "kspec-login"
    told = tmp_path / "told"
    path.write_text(
        f"#!/bin/sh\nexec >{told} 2>&1\n(echo s3cret >/dev/tty)\ntty\necho $KUBERNETES_EXEC_INFO\n"
        "exec >&- 2>&-\nexit 4\n"
    )
    path.chmod(0o755)
    plugin = {"command": str(path), "apiVersion": f"{V1}beta1", "interactiveMode": mode}
    config = kubeconfig(tmp_path, "https://127.0.0.1:1", user={"exec": plugin})
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover - another process
        words = ["snapshot", "--cluster", "prod", "--kubeconfig", config, "-o", str(tmp_path / "out")]
        os.execv(sys.executable, [sys.executable, "-m", "pytest_kspec.cli.main", *words])
    output = b""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        output += part
    assert os.waitpid(child, 0)[1] >> 8 == 2, output
    assert b"it exited with code 4" in output
    assert b"s3cret" not in output
    assert "/dev/tty" in told.read_text()
    assert "not a tty" in told.read_text()
    assert json.loads(told.read_text().splitlines()[-1])["spec"]["interactive"] is False


def test_one_that_wants_a_terminal_is_not_started(tmp_path: Path) -> None:
    text = failed(tmp_path, f"touch {tmp_path / 'ran'}", interactive_mode="Always")
    assert "it requires a terminal (interactiveMode: Always), which kspec does not provide" in text
    assert not (tmp_path / "ran").exists()


def test_a_command_that_looks_like_a_credential_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as raised:
        run(tmp_path, "", command=f"/opt/login?token={JWT}")
    assert JWT not in str(raised.value)
