"""Credentials: kubeconfig or in-cluster → the official client's `ApiClient`, which also serves the `kube`
fixture.

The official loader knows exec plugins, tokens, client certificates, CAs, proxies and TLS server names. What
it gets wrong is put right here: an exec plugin that fails is only logged there, and the scan would go on as
`system:anonymous`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_kspec.cluster.kubeconfig import read_kubeconfig
from pytest_kspec.errors import AccessDenied, SourceUnavailable

EXEC_TIMEOUT_S = 60.0
_LONGEST_DETAIL = 256


def connect(context: str, *, kubeconfig: str | None = None, in_cluster: bool = False) -> Any:
    """An `ApiClient` for this context. Raises AccessDenied or SourceUnavailable, never with a credential
    in it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own deprecations are not this run's
        from kubernetes import client
        from kubernetes import config as loaders

    config: Any = loaders  # untyped upstream

    configuration = type.__call__(client.Configuration)
    if in_cluster:
        _load(context, lambda: config.load_incluster_config(client_configuration=configuration), config)
    else:
        known = read_kubeconfig(kubeconfig)
        user = known.users.get(str(known.contexts.get(context, {}).get("user", "")), {})
        captured = _Captured()
        logging.getLogger().addHandler(captured)
        try:
            _load(
                context,
                lambda: config.load_kube_config(
                    config_file=os.pathsep.join(known.paths),
                    context=context,
                    client_configuration=configuration,
                ),
                config,
            )
        finally:
            logging.getLogger().removeHandler(captured)
        if "exec" in user and not configuration.api_key and not configuration.cert_file:
            raise _exec_failed(context, user["exec"], captured.text)
    refresh = configuration.refresh_api_key_hook

    def strip(configuration: Any) -> None:
        """A token file ends in a newline, which no header may."""
        if refresh is not None:
            refresh(configuration)
        key = configuration.api_key.get("BearerToken")
        if isinstance(key, str):
            configuration.api_key["BearerToken"] = key.strip()
        configuration.refresh_api_key_hook = strip  # each refresh puts the loader's own back

    strip(configuration)
    return client.ApiClient(configuration=configuration)


def _load(context: str, load: Callable[[], None], config: Any) -> None:
    """Run the loader in a thread, as an exec plugin may wait forever."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            load()
        except (config.ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True, name="kspec-credentials")
    thread.start()
    thread.join(EXEC_TIMEOUT_S)
    if thread.is_alive():
        for process in _children(os.getpid(), thread.native_id):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        raise SourceUnavailable(
            f"loading the credentials took more than {EXEC_TIMEOUT_S:.0f} s.",
            where=context,
            fix="Does its exec plugin wait for a login?",
        )
    if failed:
        error = failed[0]
        # Only the loader's own errors and the system's are known to be free of what the file holds.
        shown = isinstance(error, config.ConfigException | OSError)
        detail = f": {_short(str(error))}" if shown else " (the kubeconfig entry is malformed)"
        raise SourceUnavailable(f"the credentials cannot be loaded{detail}.", where=context)


def _children(process: int, thread: int | None) -> list[int]:
    """Processes that this thread of a process started, and theirs: those of the plugin, which shares this
    process's group and terminal. Empty where the system does not tell (no Linux).
    """
    try:
        found = [int(pid) for pid in Path(f"/proc/{process}/task/{thread}/children").read_text().split()]
        tasks = [(pid, int(task.name)) for pid in found for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    return found + [pid for child in tasks for pid in _children(*child)]


class _Captured(logging.Handler):
    """What the loader logs instead of raising."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.startswith("exec:") or not self.text:
            self.text = message


def _exec_failed(context: str, plugin: Any, detail: str) -> AccessDenied:
    command = plugin.get("command", "") if isinstance(plugin, dict) else ""
    return AccessDenied(
        f"the exec plugin {command!r} gave no credentials: {_short(detail) or 'no token'}.",
        where=context,
        fix="Run `kubectl get namespaces` with this context: it must not ask for a login.",
    )


def _short(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _LONGEST_DETAIL else line[: _LONGEST_DETAIL - 1] + "…"
