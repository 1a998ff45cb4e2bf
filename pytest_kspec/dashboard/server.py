"""The web dashboard as a process: uvicorn with the limits that all servers here have."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import uvicorn

from pytest_kspec.dashboard.source import Answers, Source
from pytest_kspec.dashboard.viewers import Everyone, Proxy, Viewers
from pytest_kspec.dashboard.web import Dashboard, Settings
from pytest_kspec.errors import KspecError, StoreError, UsageError
from pytest_kspec.serving.config import server_config
from pytest_kspec.serving.limits import Limits, protocol

log = logging.getLogger("kspec.dashboard")

_GRACE_S = 5
LIMITS = Limits(body=32 << 10, headers=32 << 10, idle_s=65, connections=500, of_one=400)


class Options(NamedTuple):
    """What a dashboard is started with.

    viewers: makes of the answers who may look; tls: files of a certificate and its key, or None
    wait:    whether a store that is away at the start is waited for, and not an error
    """

    source: Source
    viewers: Callable[[Answers], Viewers | Everyone]
    host: str = "127.0.0.1"
    port: int = 8000
    tls: tuple[str, str] | None = None
    rate: float = 20.0
    wait: bool = False


def serve(options: Options, started: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGTERM or SIGINT. started: told the address. Raises KspecError."""
    answers = Answers(options.source, note=log.warning)
    try:
        options.source.read(lambda store: None)
    except StoreError as error:
        if not options.wait:
            raise
        log.warning("the store could not be read: %s", error)
    viewers = options.viewers(answers)
    try:
        _Server(_config(options, answers, viewers), started, options).run()
    except SystemExit as error:
        raise KspecError(
            "the dashboard cannot listen.", where=f"{options.host}:{options.port}", fix="Is the port in use?"
        ) from error
    except KeyboardInterrupt:
        return  # uvicorn raises the signal again once it has ended
    finally:
        viewers.close()
        options.source.close()


class Background:
    """Serves in a thread, from the moment that it is made until `close`. Raises UsageError where it cannot listen.

    option: that named the address, for errors
    """

    def __init__(self, options: Options, option: str) -> None:
        self._options = options
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        try:
            self._socket = socket.create_server((options.host, options.port), family=family, backlog=128)
        except OSError as error:
            where = f"{option} {options.host}:{options.port}"
            raise UsageError(f"cannot listen there: {error.strerror or error}.", where=where) from error
        self.port: int = self._socket.getsockname()[1]
        answers = Answers(options.source, note=log.warning)
        self._viewers = options.viewers(answers)
        self._server = uvicorn.Server(_config(options, answers, self._viewers))
        self._thread = threading.Thread(target=self._run, name="kspec-dashboard", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving; what is under way has a few seconds."""
        self._server.should_exit = True
        self._thread.join(_GRACE_S + 1)
        self._viewers.close()
        self._options.source.close()
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception:
            log.exception("the dashboard ended")
            raise


def _config(options: Options, answers: Answers, viewers: Viewers | Everyone) -> uvicorn.Config:
    settings = Settings(options.source.name, options.rate, tls=options.tls is not None)
    return server_config(
        Dashboard(answers, viewers, settings),
        protocol(LIMITS, lambda: None),
        options.host,
        options.port,
        LIMITS.idle_s,
        _GRACE_S,
        **_tls(options.tls),
    )


def _tls(files: tuple[str, str] | None) -> dict[str, Any]:
    """Raises UsageError for files that are no certificate and its key."""
    if files is None:
        return {}
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*files)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"this is not a certificate and its key: {error.strerror or error}.",
            where=f"--tls-cert {files[0]}",
        ) from error
    return {"ssl_certfile": files[0], "ssl_keyfile": files[1]}


class _Server(uvicorn.Server):
    """Says where it listens, which is known only then where the port is 0."""

    def __init__(self, config: uvicorn.Config, started: Callable[[str], None], options: Options) -> None:
        super().__init__(config)
        self._told, self._options = started, options

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._told(f"{'https' if self._options.tls else 'http'}://{shown}:{port}/")


def proxy_of(
    ranges: list[str],
    user: str = "X-Forwarded-User",
    groups: str = "X-Forwarded-Groups",
    prefix: str = "",
    option: str = "--proxy-from",
) -> Proxy | None:
    """Raises UsageError. option: that named the ranges."""
    return Proxy.of(ranges, user, groups, prefix, option)
