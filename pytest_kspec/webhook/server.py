"""The webhook as a process: uvicorn, and the threads that keep specifications and certificate right.

It serves from the start, so that probes can be answered, and says on /readyz what is still missing. On SIGTERM
it first stops being ready and goes on serving for `drain_s`: API servers hear of that later than it happens.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pytest_kspec.audit.chained import ChainedLog, largest_of_environment
from pytest_kspec.audit.sink import Queue
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.readers import Readers
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.enforce.engines import webhook_client
from pytest_kspec.errors import KspecError, UsageError
from pytest_kspec.serving import limits
from pytest_kspec.serving.config import server_config
from pytest_kspec.serving.limits import Limits
from pytest_kspec.serving.rate import Rate
from pytest_kspec.serving.tls import ServerTls
from pytest_kspec.webhook import audit, certificates, direct, reviews
from pytest_kspec.webhook.app import App, Reading
from pytest_kspec.webhook.breaker import Breaker, Settings, State
from pytest_kspec.webhook.certificates import Keeper
from pytest_kspec.webhook.events import EventSink
from pytest_kspec.webhook.large import Budget, Large
from pytest_kspec.webhook.metrics import Metrics
from pytest_kspec.webhook.namespaces import NamespaceLabels
from pytest_kspec.webhook.reviews import Reviewer
from pytest_kspec.webhook.specs import Loaded, Specs, Work
from pytest_kspec.webhook.telling import Denials, Telling, state_of

log = logging.getLogger("kspec.webhook")

AUDIT_QUEUE = 20_000
EVENT_QUEUE = 1_000
READS_A_SECOND = 10.0
"""Of metrics and policies, by one client; a burst may be twice as many."""

ENDING_S = 5.0  # of a job that is under way
TOGETHER_S = 0.2
"""Changes of specifications within this time are loaded at once."""


@dataclass(slots=True)
class Options:
    """What a webhook is started with.

    host, port:   where it listens for API servers and probes
    read_port:    where it listens for who reads metrics and policies
    client_ca:    a PEM file of the authority of their certificates; None: the cluster is asked about their tokens, and
                  where there is none nobody is served
    access:       the cluster; None: it asks and writes nothing there
    keeper:       where its certificate comes from; None: plain HTTP, for tests and benchmarks
    audit:        path of the audit log and its format; path "-": standard output; None: none
    reload_s, certificate_s, tell_s: how often specifications and certificate are looked at, and the operator is told
    namespace:    where the operator looks for what replicas say
    drain_s:      how long it goes on serving after it was told to end
    """

    specs: Specs
    keeper: Keeper | None
    host: str = "0.0.0.0"
    port: int = 9443
    read_port: int = webhook_client.PORT
    client_ca: Path | None = None
    access: Access | None = None
    excluded: frozenset[str] = frozenset()
    events: bool = True
    audit: tuple[str, str] | None = None
    limits: Limits = field(default_factory=Limits)
    budget: Budget = field(default_factory=Budget)
    breaker: Settings = field(default_factory=Settings)
    reload_s: float = 5.0
    certificate_s: float = 10.0
    tell_s: float = 10.0
    namespace: str = NAMESPACE
    drain_s: float = 5.0


class Webhook:
    """One server. `run` blocks until it is told to end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.metrics = Metrics()
        self.tls = ServerTls(options.client_ca)
        self._ending = threading.Event()
        self._changed = threading.Event()  # of a custom resource: look at once
        self._queues: list[Queue] = []
        self._failed: dict[str, str] = {}
        self._due: float | None = time.monotonic()  # since when a certificate is to be there
        self._server: _Server | None = None
        breaker = Breaker(time.monotonic, options.breaker, self._breaker_changed)
        self.metrics.breaker(
            lambda: reviews.is_open(breaker), lambda: breaker.error_rate, lambda: float(breaker.evaluations)
        )
        self.reviewer = Reviewer(self.metrics, breaker, excluded=options.excluded)
        self.metrics.ready(lambda: not list(self.not_ready))
        self._telling: Telling | None = None
        if options.access is not None:
            denials = Denials()
            self.reviewer.denied = denials.note
            self._telling = Telling(
                options.access,
                options.namespace,
                socket.gethostname(),
                lambda: state_of(bool(reviews.is_open(breaker)), breaker.error_rate, denials),
            )
            self.reviewer.labels = NamespaceLabels(options.access)
            if options.events:
                self.reviewer.events = self._queue(EventSink(options.access), EVENT_QUEUE)
        if options.audit is not None:
            path, form = options.audit
            largest = largest_of_environment()
            try:
                log_file = ChainedLog(path, audit.FORMATS[form], largest=largest)
            except OSError as error:
                what = f"cannot be opened: {error.strerror or error}."
                raise UsageError(what, where=f"--audit-log {path}") from error
            self.reviewer.audit = self._queue(log_file, AUDIT_QUEUE)

    @property
    def not_ready(self) -> Iterator[str]:
        """Why it is not ready; nothing: it is. Anyone may ask, so it names nothing: the log does."""
        if self._options.keeper is not None and not self.tls.ready:
            yield "no certificate; see the log"
        if self.reviewer.policies is None:
            yield "no specification; see the log"
        elif not self.reviewer.policies.all and self._options.specs.access is None:
            yield "there is no specification to enforce"
        if self._ending.is_set():
            yield "ending"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises KspecError where it cannot listen."""
        rate = Rate(self._options.limits.rate, self._options.limits.burst_s, time.monotonic)
        app = App(self.reviewer, self._options.limits, rate, lambda: self.not_ready, self._ending.is_set)
        limited = limits.protocol(self._options.limits, self.metrics.refused_connections.inc)
        config = self._config(app, self._options.port, self.tls.context, direct.protocol(limited, app.route))
        readers = self._readers()
        reading = None
        if readers is not None:
            read = Reading(self.reviewer, readers, Rate(READS_A_SECOND, 2.0, time.monotonic))
            reading = uvicorn.Server(
                self._config(read, self._options.read_port, self.tls.of_readers, limited)
            )
        large = self.reviewer.large = Large(self._options.budget)
        server = self._server = _Server(config, self._ending, self._options.drain_s, large, reading)
        self._options.specs.follow(self._changed.set)
        jobs = [self._job("specifications", self._reload, self._options.reload_s, self._changed)]
        if self._options.keeper is not None:
            jobs.append(self._job("certificate", self._keep, self._options.certificate_s))
        if self._telling is not None:
            jobs.append(self._job("state", self._telling.tick, self._options.tell_s))
        for job in jobs:
            job.start()
        try:
            server.run()
        except SystemExit as error:
            raise KspecError(
                "the webhook cannot listen.",
                where=f"{self._options.host}:{self._options.port}",
                fix=f"Is this port or {self._options.read_port} in use?",
            ) from error
        finally:
            self._ending.set()
            self._changed.set()
            self._options.specs.close()
            # A thread that compiles a pattern while the interpreter ends aborts the process (C++).
            for job in jobs:
                job.join(ENDING_S)
            if readers is not None:
                readers.close()
            for queue in self._queues:
                queue.close()

    def stop(self) -> None:
        """End `run`, from another thread."""
        if self._server is not None:
            self._server.should_exit = True

    def _config(
        self, app: Any, port: int, context: ssl.SSLContext, http: type[HttpToolsProtocol]
    ) -> uvicorn.Config:
        served = (lambda _config, _default: context) if self._options.keeper is not None else None
        return server_config(
            app,
            http,
            self._options.host,
            port,
            self._options.limits.idle_s,
            10,
            date_header=False,
            ssl_context_factory=served,
        )

    def _readers(self) -> Readers | None:
        """Who may read; None where nobody can prove anything."""
        if self._options.client_ca is not None and self._options.keeper is not None:
            return Readers(None)
        if self._options.access is not None:
            who, where = webhook_client.AUDIENCE, webhook_client.HEADER
            return Readers(self._options.access, audience=who, header=where)
        log.warning(
            "metrics and policies are not served: there is no cluster to authorize readers, and no --client-ca"
        )
        return None

    def _queue(self, sink: Any, length: int) -> Queue:
        queue = Queue(sink, length, self.metrics.dropped)
        self._queues.append(queue)
        return queue

    # -- kept right in the background ----------------------------------------------------------------------

    def _job(
        self, what: str, action: Any, every_s: float, wake: threading.Event | None = None
    ) -> threading.Thread:
        """wake: what ends a wait early, once changes that come together have come."""

        def run() -> None:
            while not self._ending.is_set():
                try:
                    action()
                except certificates.Errors as error:
                    self._complain(what, str(error))
                except Exception as error:  # noqa: BLE001 - without this thread all stays as it is, unsaid
                    self._complain(what, f"failed with {type(error).__name__}: {error}")
                else:
                    self._failed.pop(what, None)
                wait = every_s if self._ready_once(what) else min(every_s, 0.5)
                if wake is None:
                    self._ending.wait(wait)
                elif wake.wait(wait):
                    self._ending.wait(TOGETHER_S)
                    wake.clear()

        return threading.Thread(target=run, name=f"kspec-{what}", daemon=True)

    def _ready_once(self, what: str) -> bool:
        """Until there is something to serve, look more often."""
        if what == "state":
            return True
        return self.tls.ready if what == "certificate" else self.reviewer.policies is not None

    def _complain(self, what: str, text: str) -> None:
        if self._failed.get(what) != text:
            log.error("%s: %s", what, text)
            self.metrics.reload_failed(what)
        self._failed[what] = text

    def _keep(self) -> None:
        assert self._options.keeper is not None
        before, now = self.tls.certificates, time.monotonic()
        try:
            self._options.keeper.tick(self.tls)
        except certificates.Errors:
            self._due = self._due or now
            raise
        finally:
            if self.tls.certificates != before and self.tls.expires is not None:
                waited = time.monotonic() - (self._due or now)
                self.metrics.served(self.tls.expires.timestamp(), waited, first=before == 0)
                self._due = None
        if self.tls.ready:
            self._due = None

    def _reload(self) -> None:
        specs = self._options.specs
        if specs.changed() or "specifications" in self._failed:
            self._announce(specs.load())

    def _announce(self, loaded: Loaded) -> None:
        self.reviewer.policies = loaded.policies
        assert self._server is not None
        self._server.work(Work(loaded.recipes, self._options.excluded))
        # What was loaded stays: a full collection that walks it would hold up a review by 50 ms.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        count: dict[str, int] = {"monitor": 0, "audit": 0, "enforce": 0}
        for policy in loaded.policies.all:
            count[policy.mode] += 1
            left = len(policy.plan.not_enforceable)
            log.info(
                "%s %s: %s, %d rules, %d requirements cannot be enforced at admission",
                policy.name, policy.spec.version, policy.mode, len(policy.rules), left,
            )  # fmt: skip
        for name, reason in loaded.left_out:
            log.warning("%s is not enforced: %s", name, reason)
        for name, why in loaded.wrong:
            log.error("%s: what it said before stays in force, if it did: %s", name, why)
            self.metrics.reload_failed("specifications")
        self.metrics.in_force(count)

    def _breaker_changed(self, old: State, new: State) -> None:
        level = logging.ERROR if new is State.OPEN else logging.WARNING
        log.log(level, "circuit breaker: %s, was %s", new, old)


class _Server(uvicorn.Server):
    """Goes on serving for a while after the signal; a second signal ends it at once."""

    def __init__(
        self,
        config: uvicorn.Config,
        ending: threading.Event,
        drain_s: float,
        large: Large,
        reading: uvicorn.Server | None,
    ) -> None:
        super().__init__(config)
        self._reading = reading
        self._ending = ending
        self._drain_s = drain_s
        self._large = large
        self._loop: asyncio.AbstractEventLoop | None = None

    def work(self, work: Work) -> None:
        """Specifications for the worker, from any thread."""
        self._large.update(work)
        if self._loop is not None and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._large.refresh(), self._loop)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._reading is not None:
            # Of a server of its own all but the loop: it starts and ends with this one.
            self._reading.config.load()
            self._reading.lifespan = self._reading.config.lifespan_class(self._reading.config)
            await self._reading.startup()
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._large.begin()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self._reading is not None:
            await self._reading.shutdown()
        await self._large.close()

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self._ending.is_set():
            self._end()
            return
        self._ending.set()
        log.info("shutting down; serving for %.0f s more", self._drain_s)
        asyncio.get_running_loop().call_later(self._drain_s, self._end)

    def _end(self) -> None:
        # Without remembering the signal: uvicorn would raise it again, before the queues are written out.
        self.should_exit = True
