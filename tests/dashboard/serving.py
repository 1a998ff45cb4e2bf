"""A dashboard on a real socket, in a thread of the test; stopped when the test is over, whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
import uvicorn

from pytest_kspec.dashboard.server import LIMITS
from pytest_kspec.dashboard.source import Answers, Source
from pytest_kspec.dashboard.viewers import Everyone, Viewers
from pytest_kspec.dashboard.web import Dashboard, Settings
from pytest_kspec.serving.limits import protocol

WAIT_S = 20.0


class Client:
    """Asks one dashboard."""

    def __init__(self, port: int, answers: Answers) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.answers = answers
        self._pool = urllib3.PoolManager(retries=False, timeout=WAIT_S)

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Any:
        """An answer; redirects are not followed. Names of headers are written with _."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._pool.request(method, self.address + path, body=body, headers=named, redirect=False)

    def page(self, path: str, **headers: str) -> str:
        """The text of a page that must be there."""
        answer = self.get(path, "GET", None, **headers)
        assert answer.status == 200, answer.data.decode()
        return str(answer.data.decode())

    def json(self, path: str, **headers: str) -> Any:
        """A document that must be there."""
        answer = self.get(path, "GET", None, **headers)
        assert answer.status == 200, answer.data.decode()
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()

    def close(self) -> None:
        self._pool.clear()


@contextmanager
def serving(
    source: Source, viewers: Any = lambda _answers: Everyone(), *, rate: float = 0.0, **more: Any
) -> Iterator[Client]:
    """viewers: makes of the answers who may look."""
    answers = Answers(source, **more)
    who: Viewers | Everyone = viewers(answers)
    settings = Settings("test", rate)
    config = uvicorn.Config(
        Dashboard(answers, who, settings),
        host="127.0.0.1",
        port=0,
        http=protocol(LIMITS, lambda: None),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    client = None
    try:
        waited = threading.Event()
        for _ in range(int(WAIT_S / 0.02)):
            if server.started or not thread.is_alive():
                break
            waited.wait(0.02)
        assert server.started, "the dashboard did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        client = Client(port, answers)
        yield client
    finally:
        if client is not None:
            client.close()
        server.should_exit = True
        thread.join(WAIT_S)
        who.close()
        source.close()
