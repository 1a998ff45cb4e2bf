"""Two real registries on loopback: Debian's, which knows no referrers, and one of a Go module, which does."""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.controlplane import build
from tests.controlplane.process import PortTaken, Process, free_port

HERE = Path(__file__).parent
NO_REGISTRY = "No registry: apt-get install docker-registry (or put registry into $PATH as docker-registry)."
NO_GO = "No registry with referrers: install Go 1.26+; the tests build one from its module."
_CONFIG = """\
version: 0.1
log: {{accesslog: {{disabled: true}}, level: error}}
storage: {{inmemory: {{}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
_AUTH = 'auth: {{htpasswd: {{realm: tests, path: "{path}"}}}}\n'
_TRIES = 3


class RegistryServer:
    """A registry whose content ends with it. referrers: with the API; htpasswd: lines of user and bcrypt hash."""

    def __init__(self, *, referrers: bool, htpasswd: str = "") -> None:
        self.referrers = referrers
        self._htpasswd = htpasswd
        self._folder = Path(tempfile.mkdtemp(prefix="kspec-registry-"))
        self._process: Process | None = None
        self.port = 0

    @property
    def host(self) -> str:
        """As in image references."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Started again, it is empty and at the same port."""
        for attempt in range(1, _TRIES + 1):
            self.port = self.port or free_port()
            self._process = Process("registry", self._command(), self._folder)
            self._process.start()
            try:
                self._process.wait_until(self._answers, 30)
                return self
            except PortTaken:
                self.port = 0
                if attempt == _TRIES:
                    raise
        raise AssertionError

    def stop(self) -> None:
        """What asks it afterwards finds nobody."""
        if self._process is not None:
            self._process.stop()

    def _command(self) -> list[str]:
        if self.referrers:
            built = build.built(HERE, "registry", ".", ["-trimpath", "-ldflags", "-s -w"], NO_GO)
            return [str(built), f"127.0.0.1:{self.port}"]
        program = shutil.which("docker-registry")
        if program is None:
            raise RuntimeError(NO_REGISTRY)
        text = _CONFIG.format(port=self.port)
        if self._htpasswd:
            path = self._folder / "htpasswd"
            path.write_text(self._htpasswd)
            text += _AUTH.format(path=path)
        config = self._folder / "config.yml"
        config.write_text(text)
        return [program, "serve", str(config)]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
