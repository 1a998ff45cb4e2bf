"""Where credentials of registries are found, and that what could not be read is said without showing it."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.errors import AccessDenied
from pytest_kspec.signatures import credentials
from pytest_kspec.signatures.credentials import Credentials, DockerConfig

SECRET = "s3cret-of-the-registry"
AUTH = base64.b64encode(f"me:{SECRET}".encode()).decode()


def config(folder: Path, data: Any, **environ: str) -> DockerConfig:
    text = data if isinstance(data, str) else json.dumps(data)
    (folder / "config.json").write_text(text)
    return DockerConfig({"HOME": str(folder), "DOCKER_CONFIG": str(folder), "PATH": str(folder), **environ})


def helper(folder: Path, script: str) -> None:
    path = folder / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    "key",
    [
        "registry.example.com",
        "https://registry.example.com",
        "https://registry.example.com/v2/",
        "Registry.Example.com",
    ],
)
def test_hosts_however_they_are_written(tmp_path: Path, key: str) -> None:
    found = config(tmp_path, {"auths": {key: {"auth": AUTH}}}).find("registry.example.com")
    assert found == Credentials("me", SECRET)


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    known = config(tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}})
    assert known.find("docker.io") == Credentials("me", SECRET)


def test_nobody_logged_in(tmp_path: Path) -> None:
    assert config(tmp_path, {"auths": {"other.example.com": {"auth": AUTH}}}).find("a.example.com") is None
    assert config(tmp_path, {}).find("a.example.com") is None
    assert DockerConfig({"HOME": str(tmp_path / "none")}).find("a.example.com") is None


def test_podman_has_files_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"a.example.com": {"auth": AUTH}}}))
    environ = {"HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    assert DockerConfig(environ).find("a.example.com") == Credentials("me", SECRET)
    (tmp_path / "containers").mkdir()
    (tmp_path / "auth.json").rename(tmp_path / "containers" / "auth.json")
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert DockerConfig(environ).find("a.example.com") == Credentials("me", SECRET)


def test_helpers_are_asked(tmp_path: Path) -> None:
    helper(tmp_path, f'read host; echo "{{\\"Username\\": \\"$host\\", \\"Secret\\": \\"{SECRET}\\"}}"')
    by_host = config(tmp_path, {"credHelpers": {"a.example.com": "test"}})
    assert by_host.find("a.example.com") == Credentials("a.example.com", SECRET)
    assert by_host.find("b.example.com") is None
    store = config(tmp_path, {"credsStore": "test", "auths": {"https://index.docker.io/v1/": {}}})
    assert store.find("docker.io") == Credentials("https://index.docker.io/v1/", SECRET)


def test_a_token_of_a_helper(tmp_path: Path) -> None:
    helper(tmp_path, f'echo "{{\\"Username\\": \\"<token>\\", \\"Secret\\": \\"{SECRET}\\"}}"')
    assert config(tmp_path, {"credHelpers": {"a.io": "test"}}).find("a.io") == Credentials("", SECRET)


def test_a_helper_that_knows_nothing(tmp_path: Path) -> None:
    helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    assert config(tmp_path, {"credHelpers": {"a.io": "test"}}).find("a.io") is None


@pytest.mark.parametrize(
    ("data", "script", "what"),
    [
        (f'{{"auths": {SECRET}', "", "could not be read: JSONDecodeError"),
        ({"auths": {"a.io": {"auth": "???"}}}, "", "the entry of a.io could not be read"),
        ({"auths": {"a.io": {"auth": base64.b64encode(SECRET.encode()).decode()}}}, "", "the entry of a.io"),
        ({"credHelpers": {"a.io": "test"}}, "", "the program was not found: docker-credential-test"),
        ({"credHelpers": {"a.io": "../evil"}}, "", "the program was not found: docker-credential-"),
        ({"credHelpers": {"a.io": "test"}}, f"echo {SECRET} >&2; exit 1", "failed for a.io"),
        ({"credHelpers": {"a.io": "test"}}, f"echo {SECRET}", "printed output that could not be read"),
    ],
)
def test_what_cannot_be_read_is_said_without_showing_it(
    tmp_path: Path, data: Any, script: str, what: str
) -> None:
    if script:
        helper(tmp_path, script)
    with pytest.raises(AccessDenied, match=what) as caught:
        config(tmp_path, data).find("a.io")
    error = caught.value
    assert SECRET not in str(error)
    assert error.__context__ is None or error.__suppress_context__, "a traceback would show it"


@pytest.mark.parametrize("program", ["yes", "yes & yes", "yes >&2 & yes"])
def test_a_helper_that_prints_without_end(tmp_path: Path, program: str) -> None:
    helper(tmp_path, program)
    known = config(tmp_path, {"credHelpers": {"a.io": "test"}}, PATH=f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(AccessDenied, match="docker-credential-test printed more than 1 MiB"):
        known.find("a.io")


def test_a_helper_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the program that it started, which holds its output open."""
    monkeypatch.setattr(credentials, "HELPER_TIMEOUT_S", 2.0)
    helper(tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    known = config(tmp_path, {"credHelpers": {"a.io": "test"}}, PATH=f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(AccessDenied, match="docker-credential-test does not answer: TimeoutExpired"):
        known.find("a.io")
    ends = time.monotonic() + 60
    while runs(int((tmp_path / "pid").read_text())):
        assert time.monotonic() < ends, "the program that it started runs on"
        time.sleep(0.05)


@pytest.mark.parametrize("made", ["pipe", "large"])
def test_a_configuration_without_end(tmp_path: Path, made: str) -> None:
    known = config(tmp_path, {})
    file = next(tmp_path.rglob("config.json"))
    file.unlink()
    if made == "pipe":
        os.mkfifo(file)
    else:
        with file.open("wb") as large:
            large.truncate(1 << 40)
    with pytest.raises(AccessDenied, match=r"credentials could not be read: (OSError|ValueError)"):
        known.find("a.io")


@pytest.mark.parametrize("entry", [".", ""])
def test_no_helper_is_run_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    helper(tmp_path, f'touch ran; echo "{{\\"Username\\": \\"me\\", \\"Secret\\": \\"{SECRET}\\"}}"')
    monkeypatch.chdir(tmp_path)
    known = config(tmp_path, {"credHelpers": {"a.io": "test"}}, PATH=f"{entry}:/usr/bin")
    with pytest.raises(
        AccessDenied, match="only in the working directory, from which kspec runs no programs"
    ):
        known.find("a.io")
    assert not (tmp_path / "ran").exists()
