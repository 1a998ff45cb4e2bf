"""Credentials for registries: those of the machine that scans, where Docker, Podman and their helpers keep them.

A scan never reads the data of Secrets, so the imagePullSecrets of a cluster are no source. A password is never part
of a message, of a repr or of an exception's arguments.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kspec.errors import AccessDenied
from pytest_kspec.files import open_named
from pytest_kspec.kube.images import DOCKER_HUB, normal_host

HELPER_TIMEOUT_S = 20.0
MAX_BYTES = 1 << 20
"""Of a configuration file, and of what a helper prints."""
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Credentials(NamedTuple):
    """user "" with a secret: an identity token, to be exchanged for an access token."""

    user: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


class DockerConfig:
    """The configuration files of Docker and Podman that this user has."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._files: list[tuple[str, dict[str, Any]]] | None = None

    def find(self, registry: str) -> Credentials | None:
        """For a registry as `ImageReference.registry` names it. None: nobody logged in there.

        Raises AccessDenied where a file or a helper that should know cannot be asked.
        """
        for path, data in self._read():
            helper = self._helper(data, registry)
            found = self._ask(helper, registry, path) if helper else self._stored(data, registry, path)
            if found is not None:
                return found
        return None

    def _paths(self) -> list[str]:
        home = self._environ.get("HOME") or str(Path.home())
        paths = [
            self._environ.get("REGISTRY_AUTH_FILE", ""),
            os.path.join(self._environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker"), "config.json"),
        ]
        if runtime := self._environ.get("XDG_RUNTIME_DIR"):
            paths.append(os.path.join(runtime, "containers", "auth.json"))
        return [path for path in paths if path]

    def _read(self) -> list[tuple[str, dict[str, Any]]]:
        if self._files is None:
            files: list[tuple[str, dict[str, Any]]] = []
            for path in self._paths():
                try:
                    with open_named(path) as file:
                        content = file.read(MAX_BYTES + 1)
                    if len(content) > MAX_BYTES:
                        raise ValueError("too large")
                    data = json.loads(content)
                except FileNotFoundError:
                    continue
                except (OSError, ValueError, RecursionError) as error:
                    # Not chained: what is read here holds passwords.
                    raise AccessDenied(
                        f"credentials could not be read: {type(error).__name__}.", where=path
                    ) from None
                if isinstance(data, dict):
                    files.append((path, data))
            self._files = files
        return self._files

    def _helper(self, data: dict[str, Any], registry: str) -> str:
        helpers = data.get("credHelpers")
        for host, name in helpers.items() if isinstance(helpers, dict) else ():
            if _host(host) == registry and isinstance(name, str):
                return name
        store = data.get("credsStore")
        auths = data.get("auths")
        known = [_host(host) for host in auths] if isinstance(auths, dict) else []
        return store if isinstance(store, str) and store and registry in known else ""

    def _stored(self, data: dict[str, Any], registry: str, path: str) -> Credentials | None:
        auths = data.get("auths")
        for host, entry in auths.items() if isinstance(auths, dict) else ():
            if _host(host) != registry or not isinstance(entry, dict):
                continue
            if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
                return Credentials("", entry["identitytoken"])
            if isinstance(entry.get("auth"), str) and entry["auth"]:
                try:
                    user, colon, secret = (
                        base64.b64decode(entry["auth"], validate=True).decode().partition(":")
                    )
                except (binascii.Error, ValueError):
                    colon = ""
                if not colon:
                    raise AccessDenied(f"the entry of {registry} could not be read.", where=path) from None
                return Credentials(user, secret.rstrip("\0"))
            if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
                return Credentials(entry["username"], entry["password"])
        return None

    def _ask(self, helper: str, registry: str, path: str) -> Credentials | None:
        program = shutil.which(f"docker-credential-{helper}", path=self._environ.get("PATH"))
        if not _HELPER.fullmatch(helper) or program is None:
            raise AccessDenied(f"the program was not found: docker-credential-{helper[:40]}.", where=path)
        if not os.path.isabs(program):  # $PATH has "." or an empty entry
            what = (
                f"docker-credential-{helper} was found only in the working "
                f"directory, from which kspec runs no programs."
            )
            raise AccessDenied(what, where=path)
        name = _HUB_KEY if registry == DOCKER_HUB else registry
        try:
            code, printed = _printed([program, "get"], name.encode(), self._environ)
        except _TooMuch:
            what = f"docker-credential-{helper} printed more than {MAX_BYTES >> 20} MiB."
            raise AccessDenied(what, where=path) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            what = f"docker-credential-{helper} does not answer: {type(error).__name__}."
            raise AccessDenied(what, where=path) from None
        if code:
            if b"credentials not found" in printed.lower():
                return None
            raise AccessDenied(f"docker-credential-{helper} failed for {registry}.", where=path)
        try:
            answer = json.loads(printed)
            user, secret = str(answer["Username"]), str(answer["Secret"])
        except (ValueError, KeyError, TypeError, RecursionError):
            what = f"docker-credential-{helper} printed output that could not be read."
            raise AccessDenied(what, where=path) from None
        return Credentials("" if user == "<token>" else user, secret)


class _TooMuch(Exception):
    """A program prints more than it may."""


def _printed(command: list[str], given: bytes, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """Exit code and standard output of a program that must end in time, and print no more than it may.

    Raises OSError, subprocess.TimeoutExpired, _TooMuch.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(environ),
        start_new_session=True,  # a group, that ends as one
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(HELPER_TIMEOUT_S, end)
    timer.start()
    try:
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(BrokenPipeError):
                process.stdin.write(given)
                process.stdin.close()
            printed = process.stdout.read(MAX_BYTES + 1)
            if len(printed) > MAX_BYTES:
                raise _TooMuch
            code = process.wait()
    except BaseException:
        _kill(process)
        raise
    finally:
        timer.cancel()
    if late.is_set():
        raise subprocess.TimeoutExpired(command, HELPER_TIMEOUT_S)
    return code, printed


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _host(key: str) -> str:
    """Hosts as `docker login` writes them: with a scheme and a path, or without."""
    return normal_host(key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0])
