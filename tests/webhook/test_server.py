"""The process on a real socket: what is refused, what is limited, what is ready, how it ends."""

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.enforce.decide import decide
from pytest_kspec.enforce.decision import ALLOWED
from pytest_kspec.errors import KspecError
from pytest_kspec.serving.authority import CertificateError, advance
from pytest_kspec.serving.rate import Rate
from pytest_kspec.serving.tls import ServerTls
from pytest_kspec.webhook.server import Options, Webhook
from pytest_kspec.webhook.specs import Specs
from tests.controlplane import namespaces
from tests.controlplane.certificates import Authority
from tests.controlplane.server import ControlPlane
from tests.webhook.reviewing import NOW, body, forbid, pod, policies, policy, request, response
from tests.webhook.running import Running, get, running, until, write_spec

RULE = forbid("hostNetwork")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("webhook")
    write_spec(folder / "strict.yaml", RULE)
    arguments = ("--cluster=none", "--max-body=1", "--max-connections=20", "--exclude-namespace=left-out")
    with running(
        folder, str(folder / "strict.yaml"), f"--self-signed={folder / 'tls'}", *arguments
    ) as server:
        yield server


OPENED: list[Any] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


class Client:
    """One TLS connection that verifies the server by its ca.crt."""

    def __init__(self, server: Any, trusted: Any = None) -> None:
        context = ssl.create_default_context(cafile=str(trusted or server.folder / "tls" / "ca.crt"))
        plain = socket.create_connection(("127.0.0.1", server.port), 30)
        OPENED.append(plain)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        OPENED.append(self.socket)

    def send(
        self,
        content: bytes,
        path: str = "/validate",
        method: str = "POST",
        content_type: str = "application/json",
        length: Any = None,
    ) -> Any:
        length = len(content) if length is None else length
        lines = (
            f"{method} {path} HTTP/1.1",
            "Host: x",
            f"Content-Type: {content_type}",
            f"Content-Length: {length}",
        )
        self.socket.sendall("\r\n".join((*lines, "", "")).encode() + content)
        return self.receive()

    def receive(self) -> Any:
        """Status and body; (0, b"") where the server closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                return 0, b""
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(rest) < length:
            rest += self.socket.recv(65536)
        return int(head.split()[1]), rest


def test_reviews_on_one_connection_are_answered_each(server: Any) -> None:
    client = Client(server)
    for number, bad in enumerate((False, True, False)):
        status, answer = client.send(body(pod(hostNetwork=bad), uid=f"u{number}"))
        assert status == 200
        assert response(answer)["uid"] == f"u{number}"
        assert response(answer)["allowed"] is not bad
    excluded = pod(hostNetwork=True)
    excluded["metadata"]["namespace"] = "left-out"
    assert response(client.send(body(excluded))[1])["allowed"] is True
    assert response(client.send(body(pod(hostNetwork=True)), path="/validate/strict")[1])["allowed"] is False


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (405, {"method": "GET"}),
        (415, {"content_type": "text/plain"}),
        (404, {"path": "/validate/unknown"}),
        (404, {"path": "/validate-v1-pod"}),
        (413, {"length": 2 << 20}),
    ],
)
def test_what_is_no_review_is_refused(server: Any, status: int, how: dict[str, Any]) -> None:
    found, text = Client(server).send(b"{}", **how)
    assert found == status
    assert text.endswith(b"\n")


@pytest.mark.parametrize("junk", [b"", b"{", b"null", b"[]", b'{"request":{}}', b"\x00" * 1000])
def test_garbage_is_a_400_and_does_not_repeat_it(server: Any, junk: bytes) -> None:
    status, text = Client(server).send(junk)
    assert status == 400
    assert text.startswith(b"the body is not an AdmissionReview")


def test_a_chunked_body_is_limited_as_it_comes(server: Any) -> None:
    client = Client(server)
    client.socket.sendall(
        b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    try:
        for _ in range(40):
            client.socket.sendall(chunk)
    except OSError:
        pass
    assert client.receive()[0] in (413, 0)
    assert get(server.port, "/healthz") == (200, "ok\n")


def test_headers_without_end_end_the_connection(server: Any) -> None:
    client = Client(server)
    client.socket.sendall(b"POST /validate HTTP/1.1\r\n")
    try:
        for _ in range(100):
            client.socket.sendall(b"X-Filler: " + b"y" * 4000 + b"\r\n")
    except OSError:
        pass
    assert client.receive() == (0, b"")


def refused_connections(server: Any) -> float:
    """The count of ended connections, read from the metrics."""
    text = server.read("/metrics")[1]
    found = re.search(r"^kspec_webhook_connections_refused_total (\S+)$", text, re.M)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize(
    "content",
    [
        b"".join(b"X-%d: %s\r\n" % (number, b"y" * 500) for number in range(2000)),
        b"X: " + b"y" * (1 << 20),
        b"".join(b"X-%d: %s\r\n" % (number, b"y" * 70_000) for number in range(9)),
    ],
    ids=["many headers", "one endless header", "large headers"],
)
@pytest.mark.parametrize(
    "start", [b"POST /validate HTTP/1.1\r\n", b"GET /" + b"u" * (1 << 20)], ids=["", "endless url"]
)
def test_a_connection_that_is_ended_is_counted_once(server: Any, start: bytes, content: bytes) -> None:
    before = refused_connections(server)
    client = Client(server)
    with contextlib.suppress(OSError):
        client.socket.sendall(start + content)
    assert client.receive() == (0, b"")
    assert refused_connections(server) == before + 1


def test_an_endless_trailer_ends_the_connection(server: Any) -> None:
    before = refused_connections(server)
    client = Client(server)
    head = b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with contextlib.suppress(OSError):
        client.socket.sendall(head + b"1\r\n{\r\n0\r\nX: ")
        for _ in range(64):
            client.socket.sendall(b"y" * (1 << 16))
    assert client.receive()[0] in (0, 408)
    assert refused_connections(server) == before + 1


def test_slow_headers_and_slow_bodies_end_in_time(server: Any) -> None:
    headers, content = Client(server), Client(server)
    started = time.monotonic()
    headers.socket.sendall(b"POST /validate HT")
    status, _ = content.send(b"{", length=100)
    assert status == 408
    assert headers.receive() == (0, b"")
    assert 5 < time.monotonic() - started < 25


def test_connections_beyond_the_limit_are_closed_and_the_others_served(server: Any) -> None:
    until(lambda: _get_ok(server))
    held = []
    for _ in range(30):
        try:
            held.append(Client(server))
        except OSError:
            break
    served = [client for client in held if _serves(client)]
    for client in held:
        client.socket.close()
    assert 10 <= len(served) <= 20
    until(lambda: _get_ok(server))
    assert "kspec_webhook_connections_refused_total" in server.read("/metrics")[1]


def _serves(client: Any) -> bool:
    try:
        return client.send(body(pod()))[0] == 200
    except OSError:
        return False


def _get_ok(server: Any) -> bool:
    try:
        return get(server.port, "/healthz")[0] == 200
    except OSError:
        return False


def test_the_rate_of_one_address_is_bounded_and_others_are_not_concerned() -> None:
    clock = [0.0]
    rate = Rate(10, 2, lambda: clock[0])
    assert sum(rate.allow("10.0.0.1") for _ in range(100)) == 20
    assert rate.allow("10.0.0.2")
    clock[0] += 1
    assert sum(rate.allow("10.0.0.1") for _ in range(100)) == 10
    for number in range(5000):
        rate.allow(f"a{number}")
    assert len(rate._clients) <= 1024


def test_it_is_not_ready_without_a_certificate_and_then_is(tmp_path: Path) -> None:
    tls, specs = tmp_path / "tls", tmp_path / "strict.yaml"
    tls.mkdir()
    write_spec(specs, RULE)
    server = Running(tmp_path, str(specs), f"--tls-dir={tls}", "--cluster=none")
    try:
        pair = Authority(tmp_path, "one").issue("web", hosts=("127.0.0.1",))
        until(lambda: "does not exist yet" in server.log.read_text(), server.log.read_text)
        with pytest.raises(OSError, match=r"."):
            get(server.port, "/readyz")
        shutil.copy(pair.certificate, tls / "tls.crt")
        until(lambda: "belong together" in server.log.read_text() or "tls.key" in server.log.read_text())
        shutil.copy(pair.key, tls / "tls.key")
        until(lambda: _readyz(server) == 200, server.log.read_text)

        # Another authority and certificate, half written first: the old one is served until both are there.
        (tmp_path / "two").mkdir()
        other = Authority(tmp_path / "two", "two")
        pair = other.issue("web", hosts=("127.0.0.1",))
        kept = Client(server, tmp_path / "ca.crt")
        assert kept.send(body(pod()))[0] == 200
        shutil.copy(pair.certificate, tls / "tls.crt")
        until(lambda: "belong together" in server.log.read_text(), server.log.read_text)
        assert Client(server, tmp_path / "ca.crt").send(body(pod()))[0] == 200
        shutil.copy(pair.key, tls / "tls.key")
        until(lambda: _trusted(server, other.certificate), server.log.read_text)
        assert kept.send(body(pod()))[0] == 200, "an open connection goes on"
    finally:
        assert server.stop() == 0


def _readyz(server: Any) -> Any:
    try:
        return get(server.port, "/readyz")[0]
    except OSError:
        return 0


def _trusted(server: Any, authority: Any) -> bool:
    try:
        return Client(server, authority).send(body(pod()))[0] == 200
    except OSError:
        return False


def test_it_serves_on_for_a_while_after_it_was_told_to_end(tmp_path: Path) -> None:
    write_spec(tmp_path / "strict.yaml", RULE)
    arguments = (str(tmp_path / "strict.yaml"), f"--self-signed={tmp_path / 'tls'}", "--cluster=none")
    with running(tmp_path, *arguments) as server:
        server.stop()
        server._command[server._command.index("--drain") + 1] = "3"
        server.start()
        server.wait_ready()
        server.process.terminate()
        until(lambda: _readyz(server) == 503)
        status, answer = Client(server).send(body(pod(hostNetwork=True)))
        assert (status, response(answer)["allowed"]) == (200, False)
        assert server.process.wait(20) == 0
        denied = (tmp_path / "audit.log").read_text()
        assert json.loads(denied)["action"] == "denied", "what was said is written before it ends"


def test_a_certificate_without_its_key_is_refused_and_the_old_one_stays() -> None:
    tls = ServerTls()
    one, two = (advance(None, ["a.svc"], NOW) for _ in range(2))
    tls.serve(one.certificate, one.key)
    with pytest.raises(CertificateError, match="do not belong together"):
        tls.serve(two.certificate, one.key)
    assert tls._served == (one.certificate, one.key)
    assert tls.serve(one.certificate, one.key) is False


def cli(*arguments: Any, cwd: Any = None, **env: Any) -> Any:
    command = [sys.executable, "-m", "pytest_kspec.cli.main", "webhook", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | env, cwd=cwd)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no specification is given"),
        (
            ("x.yaml", "--cluster=none"),
            "exactly one of --tls-secret, --tls-dir and --self-signed must be given",
        ),
        (("--from-cluster", "--cluster=none"), "--from-cluster needs a cluster"),
        (
            ("x.yaml", "--cluster=none", "--tls-secret=a/b"),
            "NAMESPACE/NAME, in a cluster, is required by --tls-secret",
        ),
    ],
)
def test_usage_errors_say_what_to_do(arguments: tuple[Any, ...], said: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 4
    assert said in done.stderr


BROKEN = "apiVersion: kspec.dev/v1\nkind: ClusterSpecification\nnonsense: true\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing.yaml",), "missing.yaml: the specification does not exist."),
        (("broken.yaml",), "broken.yaml:3:1: nonsense: unknown key"),
        (("good.yaml", "broken.yaml"), "broken.yaml:3:1: nonsense: unknown key"),
        (("empty",), "empty: no specification (kind: ClusterSpecification) in this folder."),
        (("good.yaml", "--exemptions=missing.yaml"), "missing.yaml: the file does not exist."),
        (("good.yaml", "--checks=missing.py"), "missing.py: the file or folder of checks does not exist."),
        (("template:nope",), "nope"),
    ],
)
def test_a_file_that_is_missing_or_wrong_when_it_starts_ends_it_at_once(
    tmp_path: Path, arguments: tuple[Any, ...], said: str
) -> None:
    write_spec(tmp_path / "good.yaml", RULE)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "empty").mkdir()
    done = cli(*arguments, "--cluster=none", "--self-signed=tls", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_that_breaks_says_so_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    webhook = Webhook(Options(Specs([], ""), None))
    calls = []

    def breaks() -> None:
        calls.append(1)
        if len(calls) > 2:
            webhook._ending.set()
        raise TypeError("a defect")

    job = webhook._job("specifications", breaks, 0.001)
    job.start()
    job.join(10)
    assert not job.is_alive()
    assert [r.getMessage() for r in caplog.records] == ["specifications: failed with TypeError: a defect"]


def test_a_job_that_is_under_way_ends_before_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread in C++ code (re2) while the interpreter ends aborts the process: SIGABRT for exit code 4."""
    under_way, ended = threading.Event(), threading.Event()

    class Slow(Specs):
        def load(self) -> Any:
            under_way.set()
            time.sleep(0.3)
            ended.set()
            return super().load()

    def cannot_listen(_self: Any) -> None:
        assert under_way.wait(30)
        raise SystemExit(1)

    monkeypatch.setattr("pytest_kspec.webhook.server._Server.run", cannot_listen)
    write_spec(tmp_path / "strict.yaml", RULE)
    webhook = Webhook(Options(Slow([str(tmp_path / "strict.yaml")], ""), None))
    with pytest.raises(KspecError, match="cannot listen"):
        webhook.run()
    assert ended.is_set()


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['uvicorn'] = None\n")
    done = cli("x.yaml", "--cluster=none", "--self-signed=tls", PYTHONPATH=str(tmp_path))
    assert done.returncode == 4
    assert "pip install 'pytest-kspec[webhook]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_an_error(server: Any, tmp_path: Path) -> None:
    write_spec(tmp_path / "strict.yaml", RULE)
    done = cli(
        str(tmp_path / "strict.yaml"), f"--self-signed={tmp_path / 'tls'}", "--cluster=none",
        "--host=127.0.0.1", f"--port={server.port}",
    )  # fmt: skip
    assert done.returncode == 4
    assert f"127.0.0.1:{server.port}: the webhook cannot listen" in done.stderr


def test_specifications_of_other_clusters_and_switched_off_ones_are_left_out(tmp_path: Path) -> None:
    write_spec(tmp_path / "here.yaml", RULE | {"clusterRef": "prod"})
    write_spec(tmp_path / "there.yaml", RULE | {"clusterRef": "staging"})
    write_spec(tmp_path / "off.yaml", RULE | {"enforcement": {"enabled": False, "mode": "enforce"}})
    write_spec(tmp_path / "unregistered.yaml", RULE | {"webhooks": {"enabled": False}})
    loaded = Specs([str(tmp_path)], "prod").load()
    assert [policy.name for policy in loaded.policies.all] == ["here"]
    assert dict(loaded.left_out) == {
        "there": "it is for the cluster staging; this is prod",
        "off": "enforcement.enabled is not true",
        "unregistered": "webhooks.enabled is not true",
    }


def test_private_files_are_private(server: Any) -> None:
    folder = Path(server.folder / "tls")
    for name in ("authority.json", "ca.crt"):
        assert (folder / name).stat().st_mode & 0o077 == 0


def test_the_manifests_are_what_an_api_server_takes(control_plane: ControlPlane, tmp_path: Path) -> None:
    done = cli("--manifests=registry.example.com/kspec:1.0", "--issuer=Issuer/internal")
    made = list(yaml.safe_load_all(done.stdout))
    assert done.returncode == 0, done.stderr
    *others, certificate = made
    assert certificate["spec"]["duration"] == "2160h0m0s"
    assert certificate["spec"]["renewBefore"] == "720h0m0s"
    assert certificate["spec"]["dnsNames"][0] == "kspec-webhook.kspec-system.svc"
    assert certificate["spec"]["issuerRef"]["kind"] == "Issuer"
    kubeconfig = str(control_plane.kubeconfig(path=tmp_path / "kubeconfig"))
    writer = Access(control_plane.name, kubeconfig)
    namespaces.create(control_plane, "kspec-system")
    try:
        for item in others:
            writer.do(lambda writer, item=item: writer.apply(item, dry_run=True))
    finally:
        namespaces.delete(control_plane, "kspec-system")
    deployed = next(item for item in others if item["kind"] == "Deployment")
    strict = policy({"podSecurity": {"enforce": "restricted"}})
    deployed["metadata"]["namespace"] = "shop"
    assert decide(request(deployed), policies(strict), NOW) is ALLOWED
