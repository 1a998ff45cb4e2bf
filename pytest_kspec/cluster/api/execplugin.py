"""Exec plugins: the program that a kubeconfig names is run, and prints credentials.

It has no terminal: no standard input, a session of its own, and what it prints is read up to a bound. Nothing of
it is shown but the end of its standard error, where it fails, in one line without what looks like a credential.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple, NoReturn

from pytest_kspec.cluster.api.contexts import EXEC_EXTENSION, Context, Exec
from pytest_kspec.errors import AccessDenied, SourceUnavailable
from pytest_kspec.guard import Guard
from pytest_kspec.redaction.marker import REDACTED
from pytest_kspec.redaction.names import Says, says
from pytest_kspec.redaction.text import redact

TIMEOUT_S = 60.0
MAX_BYTES = 1 << 20
"""Of what a plugin prints: more is an error on standard output, and not read on standard error."""

GUARDED_S = 1.0
"""After this time it is seen to that a plugin does not outlive this process."""

_GUARD = Guard()
_INFO = "KUBERNETES_EXEC_INFO"
_LONGEST_DETAIL = 256
_KEPT_BYTES = 4096
_SHORTEST_SECRET = 4
_RANDOM = re.compile(r"(?=[A-Za-z+/_=.-]*\d)(?=[\d+/_=.-]*[A-Za-z])[\w+/=.-]{24,}")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL)


class PluginTimeout(SourceUnavailable):
    """A plugin did not end in time: it is not run again for a while."""


class Credential(NamedTuple):
    """token, certificate, key: "" for none, but not all. expires: seconds of Unix time, None for never."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires: float | None = None

    def __repr__(self) -> str:
        return "<Credential>"


def run(context: Context, plugin: Exec, proxy_url: str) -> Credential:
    """Run the plugin of this context. Raises AccessDenied, and PluginTimeout where it takes too long."""
    environment = {**os.environ, **{str(v.name): v.value or "" for v in plugin.env or ()}}
    if plugin.interactive_mode == "Always":
        _failed(
            context, plugin, "it requires a terminal (interactiveMode: Always), which kspec does not provide"
        )
    environment[_INFO] = _info(context, plugin, proxy_url)
    command = [_find(context, plugin), *(plugin.args or ())]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # no terminal to ask on, and a group that ends as one
        )
    except (OSError, ValueError) as error:
        _failed(
            context,
            plugin,
            f"it cannot be started: {getattr(error, 'strerror', None) or 'invalid arguments'}",
        )
    slow = _Slow(process.pid)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        ends = time.monotonic() + TIMEOUT_S
        output, complaint = _read(context, process.stdout, process.stderr, ends, slow)
        code = None
        while code is None:  # it may have closed both, and go on
            try:
                code = process.wait(max(0.1, min(slow.due, ends) - time.monotonic()))
            except subprocess.TimeoutExpired:
                slow.look()
                if time.monotonic() > ends:
                    raise _too_long(context) from None
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        slow.done()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if code:
        said = shown(complaint, {**environment, **_arguments(plugin)})
        _failed(context, plugin, f"it exited with code {code}{f': {said}' if said else ''}")
    return _credential(context, plugin, output)


def shown(complaint: bytes, environment: Mapping[str, str]) -> str:
    """The end of what a program wrote, fit for a message: one line, without control characters and credentials."""
    text = _ESCAPES.sub(" ", complaint.decode("utf-8", "replace"))
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    hidden = {v for k, v in environment.items() if len(v) >= _SHORTEST_SECRET and _is_credential(k, v)}
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, REDACTED)
    text = redact(" ".join(text.split()))
    line = " ".join(map(_without_credentials, text.split(" "))).rstrip(". ")
    return line if len(line) <= _LONGEST_DETAIL else "…" + line[1 - _LONGEST_DETAIL :]


def _is_credential(name: str, value: str) -> bool:
    return says(name) is not Says.NOTHING or redact(value) != value


def _without_credentials(word: str) -> str:
    """Also digits that could be a digest: what a program prints when it gets no credentials may be one."""
    if word.lstrip("\"'(").startswith(("/", "./", "~")):  # each part of a path by itself
        return "/".join(_RANDOM.sub(REDACTED, part) for part in word.split("/"))
    return _RANDOM.sub(REDACTED, word)


def _find(context: Context, plugin: Exec) -> str:
    command = plugin.command or ""
    found = command if os.sep in command else shutil.which(command)
    if found is None or not os.path.isfile(found):
        hint = shown((plugin.install_hint or "").encode(), {})
        _failed(
            context, plugin, "the program was not found", fix=f"Install it: {hint}" if hint else "Install it."
        )
    if not os.path.isabs(found):  # PATH has "." or an empty entry
        _failed(
            context, plugin, "it was found only in the working directory, from which kspec runs no programs"
        )
    return found


def _info(context: Context, plugin: Exec, proxy_url: str) -> str:
    info: dict[str, Any] = {
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    if plugin.provide_cluster_info:
        cluster = context.cluster
        authority = context.material(
            "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority
        )
        config = next((e.extension for e in cluster.extensions or () if e.name == EXEC_EXTENSION), None)
        given = {
            "server": cluster.server,
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "certificate-authority-data": b64encode(authority).decode(),
            "proxy-url": proxy_url,
            "disable-compression": cluster.disable_compression,
        }
        info["spec"]["cluster"] = {key: value for key, value in given.items() if value} | {"config": config}
    try:
        return json.dumps(info)
    except (TypeError, ValueError, RecursionError):
        raise context.wrong(
            f"the extension {EXEC_EXTENSION} contains a value that cannot be written as JSON."
        ) from None


def _too_long(context: Context) -> PluginTimeout:
    what = f"the exec plugin took more than {TIMEOUT_S:.0f} s."
    return PluginTimeout(what, where=context.name, fix="Does it wait for a login?")


class _Slow:
    """Has a plugin end with this process, which may be killed while it waits. Most are done before that is seen to.

    due: when it is seen to, by `time.monotonic`
    """

    def __init__(self, group: int) -> None:
        self._group = group
        self.due = time.monotonic() + GUARDED_S

    def look(self) -> None:
        """Tell the guard, once it is time."""
        if time.monotonic() >= self.due:
            self.due = float("inf")
            with contextlib.suppress(OSError):
                _GUARD.add(self._group)

    def done(self) -> None:
        """The plugin has ended."""
        if self.due == float("inf"):
            with contextlib.suppress(OSError):
                _GUARD.remove(self._group)


def _read(
    context: Context, output: IO[bytes], complaint: IO[bytes], ends: float, slow: _Slow
) -> tuple[bytes, bytes]:
    """All of standard output, and the end of standard error. ends: by `time.monotonic`."""
    texts = {output.fileno(): bytearray(), complaint.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for number in texts:
            selector.register(number, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, min(ends, slow.due) - time.monotonic()))
            slow.look()
            if time.monotonic() > ends:
                raise _too_long(context)
            for key, _ in ready:
                part = os.read(key.fd, 1 << 16)
                texts[key.fd] += part
                if not part:
                    selector.unregister(key.fd)
                elif len(texts[key.fd]) > MAX_BYTES:
                    if key.fd == output.fileno():
                        raise context.wrong(f"the exec plugin prints more than {MAX_BYTES >> 20} MiB.")
                    del texts[key.fd][:-_KEPT_BYTES]
    return bytes(texts[output.fileno()]), bytes(texts[complaint.fileno()][-_KEPT_BYTES:])


def _credential(context: Context, plugin: Exec, output: bytes) -> Credential:
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        _failed(context, plugin, "it does not print an ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        _failed(context, plugin, f"it does not answer in {plugin.api_version}, which the kubeconfig requires")
    status = answer.get("status")
    if not isinstance(status, dict):
        _failed(context, plugin, "it prints no `status`")
    names = ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    values = [status.get(name) for name in names]
    if any(not isinstance(value, str | None) for value in values):
        _failed(context, plugin, "its `status` contains values that are not strings")
    token, certificate, key, until = (value or "" for value in values)
    if not token and not certificate and not key:
        _failed(context, plugin, "it prints neither a token nor a certificate")
    if bool(certificate) != bool(key):
        _failed(context, plugin, "it prints either a certificate or a key, but both are required")
    return Credential(token, certificate, key, _moment(context, plugin, until) if until else None)


def _moment(context: Context, plugin: Exec, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _failed(context, plugin, "its `expirationTimestamp` is not a time")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _arguments(plugin: Exec) -> dict[str, str]:
    """Values on the command line by the option before them, to tell which are credentials."""
    found: dict[str, str] = {}
    before = ""
    for argument in plugin.args or ():
        name, _, value = argument.partition("=")
        found |= {name: value} if value else {before or name: argument}
        before = name
    return found


def _failed(context: Context, plugin: Exec, why: str, *, fix: str = "") -> NoReturn:
    raise AccessDenied(
        f"the exec plugin {shown((plugin.command or '').encode(), {})!r} gave no credentials: {why}.",
        where=context.name,
        fix=fix or "Run `kubectl get namespaces` with this context. It must not require a login.",
    )
