"""Credentials over real TLS and real processes."""

import json
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.api import auth, contexts, execplugin
from pytest_kspec.cluster.api.http import Connection
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, SourceUnavailable
from tests.cluster.api import PODS, Api, Reply, kubeconfig, page, status
from tests.cluster.objects import pod
from tests.controlplane.certificates import Authority, KeyPair

QUICK = Limits(connect_timeout_s=2.0, read_timeout_s=2.0, retries=1, backoff_s=0.01)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def context(authority: Authority, pair: KeyPair, *, clients: bool = False) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pair.certificate, pair.key)
    if clients:
        made.load_verify_locations(cadata=authority.bundle.decode())
        made.verify_mode = ssl.CERT_REQUIRED
    return made


@pytest.fixture
def api(authority: Authority) -> Iterator[Api]:
    with Api({PODS: page(pod("a"))}, context(authority, authority.issue("server"))) as api:
        yield api


def names(config: str, context: str = "prod") -> list[str]:
    source = LiveSource(context, kubeconfig=config, limits=QUICK)
    try:
        return [p.name for p in Inventory(source).pods()]
    finally:
        source.close()


def sent(api: Api) -> set[str | None]:
    return {request.headers.get("authorization") for request in api.seen}


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def plugin(command: str) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": command,
            "interactiveMode": "Never",
        }
    }


def credential(status: str) -> str:
    return f"""cat <<'E'
{{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {status}}}
E"""


def test_token_and_authority(api: Api, authority: Authority, tmp_path: Path) -> None:
    assert names(kubeconfig(tmp_path, api.url, ca=authority.bundle)) == ["a"]
    assert sent(api) == {"Bearer t0ken"}


def test_an_unknown_authority_is_refused_unless_asked_for(api: Api, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"does not answer \(SSLError\).*certificate verify failed"):
        names(kubeconfig(tmp_path, api.url))
    assert names(kubeconfig(tmp_path, api.url, extra={"insecure-skip-tls-verify": True})) == ["a"]


def test_the_name_in_the_certificate(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue("elsewhere", hosts=["api.example.com"])
    with Api({PODS: page(pod("a"))}, context(authority, pair)) as api:
        with pytest.raises(SourceUnavailable, match="SSLError"):
            names(kubeconfig(tmp_path, api.url, ca=authority.bundle))
        config = kubeconfig(
            tmp_path, api.url, ca=authority.bundle, extra={"tls-server-name": "api.example.com"}
        )
        assert names(config) == ["a"]


def test_client_certificates(authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue("client")
    user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
    with Api({PODS: page(pod("a"))}, context(authority, authority.issue("server"), clients=True)) as api:
        assert names(kubeconfig(tmp_path, api.url, ca=authority.bundle, user=user)) == ["a"]
        assert sent(api) == {None}
        with pytest.raises(SourceUnavailable, match="the API server does not answer"):
            names(kubeconfig(tmp_path, api.url, ca=authority.bundle))
        with pytest.raises(SourceUnavailable, match="the user of the context has no credentials"):
            names(kubeconfig(tmp_path, api.url, ca=authority.bundle, user={}))


def test_a_token_file_ends_in_a_newline(api: Api, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert names(kubeconfig(tmp_path, api.url, ca=authority.bundle, user={"tokenFile": "token"})) == ["a"]
    assert sent(api) == {"Bearer from-file"}


def test_an_exec_plugin(api: Api, authority: Authority, tmp_path: Path) -> None:
    command = script(tmp_path / "login", credential('{"token": "from-plugin"}'))
    assert names(kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command))) == ["a"]
    assert sent(api) == {"Bearer from-plugin"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 'run: cloud login.' >&2; exit 3", "it exited with code 3: run: cloud login. Run `kubectl"),
        ("echo s3cret", "it does not print an ExecCredential"),
        ("echo '[\"s3cret\"]'", "it does not print an ExecCredential"),
        (credential('{"s3cret": 1}'), "it prints neither a token nor a certificate"),
        (credential('{"token": {"s3cret": 1}}'), "its `status` contains values that are not strings"),
        (
            credential('{"token": "", "clientKeyData": "s3cret"}'),
            "either a certificate or a key, but both are required",
        ),
        (
            credential('{"token": "s3cret", "expirationTimestamp": "soon"}'),
            "`expirationTimestamp` is not a time",
        ),
        (credential("null"), "it prints no `status`"),
        (
            credential("{}").replace("/v1", "/v1beta1"),
            "it does not answer in client.authentication.k8s.io/v1,",
        ),
        ("kill -9 $$", "it exited with code -9"),
        (None, "the program was not found"),
    ],
)
def test_an_exec_plugin_that_fails_is_never_anonymous(
    text: str | None, message: str, api: Api, authority: Authority, tmp_path: Path
) -> None:
    command = script(tmp_path / "login", text) if text else str(tmp_path / "none")
    with pytest.raises(AccessDenied, match=r"^prod: the exec plugin .* gave no credentials") as raised:
        names(kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command)))
    assert message in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert api.seen == []


def test_an_exec_plugin_that_waits_for_ever(
    api: Api, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execplugin, "TIMEOUT_S", 2.0)
    pids = tmp_path / "pids"
    command = script(tmp_path / "login", f"echo $$ >{pids}\nsleep 30 &\necho $! >>{pids}\nwait")
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match="the exec plugin took more than 2 s"):
        names(kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command)))
    assert time.monotonic() - began < 8
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    while any(_runs(pid) for pid in started):  # neither the plugin nor what it started is left behind
        assert time.monotonic() - began < 12
        time.sleep(0.01)


def test_an_exec_plugin_that_never_ends_is_run_once(
    api: Api, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each kind that is listed."""
    monkeypatch.setattr(execplugin, "TIMEOUT_S", 0.5)
    runs = tmp_path / "runs"
    command = script(tmp_path / "login", f"echo >>{runs}; sleep 30")
    config = kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command))
    source = LiveSource("prod", kubeconfig=config)  # with its real pauses
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match=r"took more than 0 s"):
            source.types()
    assert len(runs.read_text()) == 1


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_token_file_is_read_again(
    api: Api, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    user = {"tokenFile": "token", "token": "never"}
    connection = Connection("prod", kubeconfig=kubeconfig(tmp_path, api.url, ca=authority.bundle, user=user))
    connection.get("/version")
    token.write_text("two")
    connection.get("/version")
    assert sent(api) == {"Bearer one"}  # for a minute
    monkeypatch.setattr(auth, "TOKEN_FILE_S", -1.0)
    api.seen.clear()
    connection.get("/version")
    token.unlink()
    connection.get("/version")
    connection.close()
    assert [r.headers["authorization"] for r in api.seen] == ["Bearer two", "Bearer two"]


def counting(path: Path, status: str) -> str:
    """A plugin whose credentials hold how often it ran, as N."""
    count = path.with_name("count")
    return script(path, f"echo >>{count}; N=$(wc -l <{count})\n{credential(status).replace(chr(39), '')}")


@pytest.mark.parametrize(
    ("expires", "tokens"),
    [
        ("", ["t1", "t1", "t1"]),
        (', "expirationTimestamp": null', ["t1", "t1", "t1"]),
        (', "expirationTimestamp": "2999-01-01T00:00:00Z"', ["t1", "t1", "t1"]),
        # once while connecting, and once for each request
        (', "expirationTimestamp": "2001-01-01T00:00:00.5+02:00"', ["t2", "t3", "t4"]),
    ],
)
def test_an_exec_plugin_runs_again_when_what_it_gave_expires(
    expires: str, tokens: list[str], api: Api, authority: Authority, tmp_path: Path
) -> None:
    command = counting(tmp_path / "login", f'{{"token": "t$N"{expires}}}')
    config = kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command))
    connection = Connection("prod", kubeconfig=config)
    for _ in tokens:
        connection.get("/version")
    connection.close()
    assert [r.headers["authorization"] for r in api.seen] == [f"Bearer {token}" for token in tokens]


def test_an_exec_plugin_runs_again_after_a_401(api: Api, authority: Authority, tmp_path: Path) -> None:
    api.answers["/version"] = [status(401), Reply({"gitVersion": "v1.30.1"})]
    command = counting(tmp_path / "login", '{"token": "t$N"}')
    config = kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command))
    assert Connection("prod", kubeconfig=config).get("/version").status == 200
    assert [r.headers["authorization"] for r in api.seen] == ["Bearer t1", "Bearer t2"]


def test_an_exec_plugin_that_changes_its_certificate(authority: Authority, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        pair = authority.issue(f"client-{number}")
        status = {
            "clientCertificateData": pair.certificate.read_text(),
            "clientKeyData": pair.key.read_text(),
            "expirationTimestamp": "2001-01-01T00:00:00Z",
        }
        answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        (tmp_path / f"answer-{number}").write_text(json.dumps(answer))
    command = script(
        tmp_path / "login",
        f"cd {tmp_path}; echo >>count; cat answer-$(wc -l <count)",
    )
    tls = context(authority, authority.issue("server"), clients=True)
    with Api({}, tls) as api:
        config = kubeconfig(tmp_path, api.url, ca=authority.bundle, user=plugin(command))
        access = auth.connect("prod", kubeconfig=config)
        pool = access.pool
        for _ in range(2):  # the second one has none of the connections of the first
            access.pool.request("GET", access.server + "/version", headers=access.headers({}))
        assert [request.peer for request in api.seen] == ["client-2", "client-3"]
        assert access.pool is pool  # which others have bound to their bounds
        access.close()


def test_what_no_request_of_the_official_client_does(api: Api, authority: Authority, tmp_path: Path) -> None:
    """It follows no redirect and asks no other server: our credentials would go with it."""
    user = {"token": "t0ken", "as": "someone", "as-groups": ["one", "two"]}
    config = kubeconfig(tmp_path, api.url, ca=authority.bundle, user=user)
    client = LiveSource("prod", kubeconfig=config, limits=QUICK).api_client()
    with Api({}) as other:
        api.answers["/version"] = Reply({}, 302, {"Location": f"{other.url}/version"})
        assert client.rest_client.request("GET", f"{api.url}/version").status == 302
        for url in (f"{other.url}/version", f"{api.url}.example.com/version", f"{api.url}@{other.url}"):
            with pytest.raises(ValueError, match="to its API server only"):
                client.rest_client.request("GET", url)
        assert other.seen == []
    fields = [f for f in api.seen[0].fields if f[0].startswith("Impersonate")]
    assert fields == [
        ("Impersonate-User", "someone"),
        ("Impersonate-Group", "one"),
        ("Impersonate-Group", "two"),
    ]


def test_a_proxy(authority: Authority, tmp_path: Path) -> None:
    """An http server behind a proxy: the proxy sees the whole URL of the server that has no name."""
    with Api({PODS: page(pod("a"))}) as proxy:
        assert names(kubeconfig(tmp_path, "http://no.such.host.invalid", extra={"proxy-url": proxy.url})) == [
            "a"
        ]
        assert {r.headers["host"] for r in proxy.seen} == {"no.such.host.invalid"}


def test_a_file_that_is_missing_is_named(api: Api, tmp_path: Path) -> None:
    user = {"client-certificate": "nowhere.pem", "client-key": "nowhere.key"}
    with pytest.raises(
        SourceUnavailable,
        match=r"prod: the file of `client-certificate` could not be read: .*nowhere\.pem: No such file",
    ):
        names(kubeconfig(tmp_path, api.url, user=user))


def test_a_key_that_is_no_base64_is_not_shown(api: Api, tmp_path: Path) -> None:
    user = {"client-key-data": "s3cret!", "client-certificate-data": "s3cret!"}
    with pytest.raises(SourceUnavailable) as raised:
        names(kubeconfig(tmp_path, api.url, user=user))
    assert "s3cret" not in str(raised.value)


def test_in_cluster(api: Api, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("from-pod\n")
    (tmp_path / "ca.crt").write_bytes(authority.bundle)
    monkeypatch.setattr(contexts, "IN_CLUSTER_FOLDER", str(tmp_path))
    host, port = api.url.removeprefix("https://").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    source = LiveSource("in-cluster", in_cluster=True, limits=QUICK)
    assert [p.name for p in Inventory(source).pods()] == ["a"]
    assert sent(api) == {"Bearer from-pod"}
    (tmp_path / "token").unlink()
    with pytest.raises(
        SourceUnavailable, match=r"the file of `tokenFile` could not be read: .*token: No such file"
    ):
        Inventory(LiveSource("in-cluster", in_cluster=True, limits=QUICK)).pods()


def test_the_official_client_has_the_same_credentials(api: Api, authority: Authority, tmp_path: Path) -> None:
    source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url, ca=authority.bundle), limits=QUICK)
    client = source.api_client()
    assert client is source.api_client()
    api.answers["/version"] = Reply({"gitVersion": "v1.30.1"})
    answer = client.rest_client.request(
        "GET",
        client.configuration.host + "/version",
    )
    assert answer.read() == b'{"gitVersion": "v1.30.1"}'
    assert sent(api) == {"Bearer t0ken"}
    assert client.configuration.api_key == {}


def test_a_token_that_no_header_can_hold_is_not_shown(api: Api, authority: Authority, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, api.url, ca=authority.bundle, user={"token": "s3cret\nline"})
    with pytest.raises(
        SourceUnavailable,
        match=r"^prod: the token is empty or contains characters that are not allowed in a header\.$",
    ) as raised:
        names(config)
    assert "s3cret" not in str(raised.value)


def test_a_proxy_password_is_not_shown(tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, "https://127.0.0.1:1", extra={"proxy-url": "http://me:s3cret@127.0.0.1:1"})
    with pytest.raises(SourceUnavailable, match="does not answer") as raised:
        names(config)
    assert "s3cret" not in str(raised.value)
