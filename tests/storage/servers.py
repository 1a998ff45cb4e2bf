"""A real PostgreSQL and a real S3-compatible server on loopback, each gone when the tests are.

PostgreSQL's binaries come from the system; the object store (versitygw, on plain files) is built from its Go module.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.controlplane import build
from tests.controlplane.certificates import KeyPair
from tests.controlplane.process import PortTaken, Process, ServerFailed, free_port

LOOPBACK = "127.0.0.1"
PASSWORD = "s3cr3t/p@ss word"  # as awkward as one may be in a URL
NO_POSTGRESQL = "No PostgreSQL: apt-get install postgresql (or put initdb and postgres into $PATH)."
NO_OBJECT_STORE = "No object store: install Go 1.26+; the tests build one from its module."
_OBJECT_STORE = Path(__file__).with_name("objectstore")
_TRIES = 3


class NoServer(RuntimeError):
    """A server cannot be had here; the message says how."""


def _program(name: str) -> str:
    """The newest of Debian's, else the one in the path."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4].split(".")[0])
    )
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        raise NoServer(NO_POSTGRESQL)
    return program


class _Server(ABC):
    """Started in a folder of its own; another port is tried where one is taken."""

    def __init__(self, prefix: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=prefix))
        self.port = 0
        self._process: Process | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Of the program, with arguments."""

    def start(self) -> Self:
        for attempt in range(1, _TRIES + 1):
            self.port = free_port()
            command = self.command()
            self._process = Process(
                Path(command[-1] if not command else command[0]).name, command, self.folder
            )
            self._process.start()
            try:
                self._process.wait_until(self.answers, 60)
                break
            except PortTaken:
                if attempt == _TRIES:
                    raise
        return self

    def answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1):
                return True
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except (NoServer, ServerFailed, build.NoControlPlane):
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Postgres(_Server):
    """A cluster of databases with one user, `kspec`, and a password. It refuses to run as root: nobody runs it then."""

    def __init__(self) -> None:
        super().__init__("kspec-postgres-")
        self.data = self.folder / "data"
        self._user = (
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
        )
        _program("postgres")
        if self._user:
            os.chown(self.folder, 65534, 65534)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        options = [
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        password.chmod(0o644)
        done = subprocess.run(
            [*self._user, _program("initdb"), "-D", str(self.data), "--username=kspec", *options],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
        )
        if done.returncode:
            self.stop()
            raise ServerFailed(f"initdb ended with status {done.returncode}:\n{done.stderr}")

    def command(self) -> list[str]:
        settings = (f"listen_addresses={LOOPBACK}", "unix_socket_directories=", "shared_buffers=16MB")
        given = [word for setting in settings for word in ("-c", setting)]
        return [*self._user, _program("postgres"), "-D", str(self.data), "-p", str(self.port), *given]

    def answers(self) -> bool:
        import psycopg

        try:
            self._execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def database(self, name: str) -> str:
        """A new database; its URL, with the password."""
        self._execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://kspec:{quote(PASSWORD, safe='')}@{LOOPBACK}:{self.port}/{name}"

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            host=LOOPBACK, port=self.port, user="kspec", password=PASSWORD, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


class ObjectStore(_Server):
    """versitygw: buckets are folders of `buckets`. access, secret: of its one user. tls: None: it serves plain HTTP."""

    access, secret = "kspec", "kspec-secret-key"

    def __init__(self, tls: KeyPair | None = None) -> None:
        super().__init__("kspec-objects-")
        self._tls = tls
        self.buckets = self.folder / "buckets"
        self.buckets.mkdir()

    def command(self) -> list[str]:
        package = "github.com/versity/versitygw/cmd/versitygw"
        flags = ["-trimpath", "-mod=readonly", "-ldflags", "-s -w"]
        program = build.built(_OBJECT_STORE, "versitygw", package, flags, NO_OBJECT_STORE)
        sidecar = self.folder / "attributes"
        sidecar.mkdir(exist_ok=True)
        user = ["--access", self.access, "--secret", self.secret]
        if self._tls is not None:
            user += ["--cert", str(self._tls.certificate), "--key", str(self._tls.key)]
        where = ["--port", f"{LOOPBACK}:{self.port}", "posix", "--sidecar", str(sidecar), str(self.buckets)]
        return [str(program), *user, *where]

    def bucket(self, name: str) -> dict[str, str]:
        """A new bucket; the environment that a client needs."""
        (self.buckets / name).mkdir()
        return {
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"{'http' if self._tls is None else 'https'}://{LOOPBACK}:{self.port}",
        }
