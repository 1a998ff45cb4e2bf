"""Registries on bad days, and those that want to know what they must not."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.errors import AccessDenied, NotFound, SourceUnavailable
from pytest_kspec.kube.images import parse_image
from pytest_kspec.signatures import http, registry
from pytest_kspec.signatures.credentials import DockerConfig
from pytest_kspec.signatures.registry import Registry
from pytest_kspec.signatures.verify import SignatureVerifier
from tests.cluster.api import Api, Reply, Request
from tests.cluster.socks import SocksServer
from tests.registry.push import OCI_INDEX, OCI_MANIFEST, Pusher, digest_of
from tests.registry.servers import RegistryServer

from . import signing
from .conftest import QUICK
from .test_verify import KEY, by, outcome

MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode()
DIGEST = digest_of(MANIFEST)
FOUND = Reply(MANIFEST, headers={"Content-Type": OCI_MANIFEST})
V1 = "/v2/team/app/manifests/v1"
USER, PASSWORD = "robot", "pa55word-of-the-robot"


def logged_in(tmp_path: Path, *hosts: str) -> DockerConfig:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth} for host in hosts}}))
    return DockerConfig({"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)})


def client(config: DockerConfig | None = None) -> Registry:
    return Registry(config or DockerConfig({"HOME": "/nonexistent"}), QUICK)


def host(api: Api) -> str:
    return api.url.removeprefix("http://")


def ask(api: Api, config: DockerConfig | None = None, reference: str = "v1") -> Any:
    made = client(config)
    try:
        return made.manifest(parse_image(f"{host(api)}/team/app"), reference)
    finally:
        made.close()


def sent(api: Api) -> list[str]:
    """What it was told of credentials."""
    return [request.headers.get("authorization", "") for request in api.seen]


def test_429_and_503_are_tried_again() -> None:
    with Api({V1: [Reply(b"", 429, {"Retry-After": "3600"}), Reply(b"", 503), FOUND]}) as api:
        started = time.monotonic()
        assert ask(api).digest == DIGEST
        assert time.monotonic() - started < 3, "Retry-After is bounded"


def test_and_not_forever() -> None:
    with Api({V1: Reply(b"", 429)}) as api:
        with pytest.raises(SourceUnavailable, match=r"team/app: the registry answers with HTTP 429\."):
            ask(api)
        assert len(api.seen) == 1 + QUICK.retries


@pytest.mark.parametrize("status", [401, 403])
def test_refusals_say_what_to_do(status: int) -> None:
    with (
        Api({V1: Reply(b"", status)}) as api,
        pytest.raises(AccessDenied, match=f"HTTP {status}.*docker login"),
    ):
        ask(api)


def test_what_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_MANIFEST_BYTES", 1000)
    with (
        Api({V1: Reply(b" " * 100_000, headers={"Content-Type": OCI_MANIFEST})}) as api,
        pytest.raises(SourceUnavailable, match="larger than 1000 bytes"),
    ):
        ask(api)


def test_an_answer_that_drips() -> None:
    """A byte now and then keeps every single read short."""
    patience = QUICK._replace(total_s=0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        slow = Registry(DockerConfig({"HOME": "/nonexistent"}), patience)
        started = time.monotonic()
        image = parse_image(f"127.0.0.1:{listening.getsockname()[1]}/team/app")
        with pytest.raises(SourceUnavailable, match=r"takes longer than 0\.5 s"):
            slow.manifest(image, "v1")
        assert time.monotonic() - started < 2
        slow.close()
        thread.join()


def test_an_answer_that_breaks_off() -> None:
    with (
        Api({V1: Reply(MANIFEST, cut=10)}) as api,
        pytest.raises(SourceUnavailable, match="closed the connection within an answer"),
    ):
        ask(api)


def test_another_content_than_the_digest_says() -> None:
    wrong = f"sha256:{'0' * 64}"
    with (
        Api({f"/v2/team/app/manifests/{wrong}": FOUND}) as api,
        pytest.raises(SourceUnavailable, match=f"other content than {wrong}"),
    ):
        ask(api, reference=wrong)


def test_a_blob_of_another_content_and_one_that_is_missing() -> None:
    wrong = f"sha256:{'0' * 64}"
    with Api({f"/v2/team/app/blobs/{wrong}": Reply(b"something")}) as api:
        image = parse_image(f"{host(api)}/team/app")
        with pytest.raises(SourceUnavailable, match=f"other content than {wrong}"):
            client().blob(image, wrong)
        with pytest.raises(NotFound, match=f"does not have the blob {DIGEST}"):
            client().blob(image, DIGEST)


def test_who_cannot_be_reached_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Api() as api:
        gone = host(api)
    asked = client()
    for name in ("a", "b"):
        with pytest.raises(SourceUnavailable, match=f"{gone}/{name}: the registry does not answer"):
            asked.manifest(parse_image(f"{gone}/{name}"), "v1")
        monkeypatch.setattr(http.Connection, "_request", None)  # the second time it would fail here


@pytest.mark.parametrize(
    ("body", "kind", "what"),
    [
        (b"{}", "application/vnd.docker.distribution.manifest.v1+json", "not a supported manifest"),
        (b"{}", "text/html", "is of type text/html"),
        (b"[]", OCI_MANIFEST, "not a JSON object"),
        (b"<html>", OCI_MANIFEST, "not a JSON object"),
    ],
)
def test_what_is_no_manifest(body: bytes, kind: str, what: str) -> None:
    with (
        Api({V1: Reply(body, headers={"Content-Type": kind})}) as api,
        pytest.raises(SourceUnavailable, match=what),
    ):
        ask(api)


def test_credentials_go_to_nobody_that_a_redirect_names(tmp_path: Path) -> None:
    with Api() as thief, Api() as api:
        challenge = Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="x"'})
        moved = Reply(b"", 307, {"Location": f"{thief.url}{V1}"})

        def answer(request: Request) -> Reply:
            return moved if "authorization" in request.headers else challenge

        api.answers[V1] = answer
        thief.answers[V1] = FOUND
        assert ask(api, logged_in(tmp_path, host(api))).digest == DIGEST
        assert any(value.startswith("Basic ") for value in sent(api))
        assert sent(thief) == [""]


def test_a_redirect_within_the_registry_keeps_them(tmp_path: Path) -> None:
    with Api() as api:

        def answer(request: Request) -> Reply:
            if "authorization" not in request.headers:
                return Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="x"'})
            return FOUND if request.path == "/elsewhere" else Reply(b"", 302, {"Location": "/elsewhere"})

        api.answers |= {V1: answer, "/elsewhere": answer}
        assert ask(api, logged_in(tmp_path, host(api))).digest == DIGEST


@pytest.mark.parametrize(
    "target", ["http://registry.example.com/x", "file:///etc/passwd", "ftp://127.0.0.1/x"]
)
def test_no_redirect_leads_away_from_tls(target: str) -> None:
    with (
        Api({V1: Reply(b"", 307, {"Location": target})}) as api,
        pytest.raises(SourceUnavailable, match="without TLS"),
    ):
        ask(api)


def test_redirects_end() -> None:
    with (
        Api({V1: Reply(b"", 307, {"Location": V1})}) as api,
        pytest.raises(SourceUnavailable, match="more than 5 times"),
    ):
        ask(api)
    assert len(api.seen) == http.MAX_REDIRECTS + 1


def bearer(api: Api, realm: str) -> None:
    """`api` wants the token t0k3n, which `realm` gives."""

    def answer(request: Request) -> Reply:
        if request.headers.get("authorization") == "Bearer t0k3n":
            return FOUND
        asks = f'Bearer realm="{realm}",service="reg",scope="repository:team/app:pull"'
        return Reply(b"", 401, {"WWW-Authenticate": asks})

    api.answers[V1] = answer


def test_a_token_for_nobody_and_for_somebody(tmp_path: Path) -> None:
    with Api() as api:
        bearer(api, f"{api.url}/token")
        api.answers["/token"] = Reply({"token": "t0k3n"})
        assert ask(api).digest == DIGEST
        assert api.paths("/token") == [{"service": "reg", "scope": "repository:team/app:pull"}]
        assert not any(value.startswith("Basic") for value in sent(api))
        assert ask(api, logged_in(tmp_path, host(api))).digest == DIGEST
        assert sum(value.startswith("Basic") for value in sent(api)) == 1, "the token service alone is told"


def test_an_identity_token_is_exchanged(tmp_path: Path) -> None:
    with Api() as api:
        bearer(api, f"{api.url}/token")
        api.answers["/token"] = Reply({"access_token": "t0k3n"})
        config = {"auths": {host(api): {"identitytoken": "long-lived"}}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert ask(api, DockerConfig({"DOCKER_CONFIG": str(tmp_path), "HOME": "/"})).digest == DIGEST
        (asked,) = [request for request in api.seen if request.path == "/token"]
        assert asked.method == "POST"
        assert "refresh_token=long-lived" in asked.body


@pytest.mark.parametrize(
    ("answer", "error", "what"),
    [
        (Reply({"token": 1}), SourceUnavailable, "gives no token"),
        (Reply(b"<html>"), SourceUnavailable, "gives no token"),
        (Reply(b"", 500), SourceUnavailable, "gives no token"),
        (Reply({"token": "a\nb"}), SourceUnavailable, "gives no token"),
        (Reply(b"", 401), AccessDenied, "token service refuses"),
    ],
)
def test_a_token_service_on_a_bad_day(answer: Reply, error: type[Exception], what: str) -> None:
    with Api({"/token": answer}) as api:
        bearer(api, f"{api.url}/token")
        with pytest.raises(error, match=what):
            ask(api)


def test_credentials_are_not_sent_without_tls(tmp_path: Path) -> None:
    with Api() as api:
        bearer(api, "http://auth.example.com/token")
        with pytest.raises(AccessDenied, match="without TLS"):
            ask(api, logged_in(tmp_path, host(api)))


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    with Api({V1: Reply(b"", 401, {"WWW-Authenticate": 'Basic realm="x"'})}) as api:
        with pytest.raises(AccessDenied) as caught:
            ask(api, logged_in(tmp_path, host(api)))
        assert sent(api)[-1].startswith("Basic ")
    config = logged_in(tmp_path, "a.example.com")
    found = config.find("a.example.com")
    assert found is not None
    for text in (str(caught.value), repr(caught.value), repr(found), str(found)):
        assert PASSWORD not in text


def test_a_proxy_is_told_of_its_own_credentials_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Api() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pr%40zzy@{host(proxy)}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        proxy.answers["registry.example.com:443"] = Reply(b"", 502)
        asked = client(logged_in(tmp_path, "registry.example.com"))
        with pytest.raises(SourceUnavailable, match="does not answer") as caught:
            asked.manifest(parse_image("registry.example.com/team/app"), "v1")
        assert "zzy" not in str(caught.value)
        assert {request.method for request in proxy.seen} == {"CONNECT"}
        basic = base64.b64encode(b"me:pr@zzy").decode()
        assert {request.headers.get("proxy-authorization") for request in proxy.seen} == {f"Basic {basic}"}
        assert set(sent(proxy)) == {""}
        before = len(proxy.seen)
        with Api({V1: FOUND}) as api:
            assert ask(api).digest == DIGEST
        assert len(proxy.seen) == before, "this machine itself is not behind it"


@pytest.mark.parametrize("proxy", ["ftp://me:s3cret@x", "http://s3cret:99999", "http://[s3cret"])
def test_a_proxy_that_cannot_be_used_is_an_error(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    asked = client(logged_in(tmp_path, "registry.example.com"))
    with pytest.raises(SourceUnavailable, match="the proxy cannot be used: HTTPS_PROXY: it") as caught:
        asked.manifest(parse_image("registry.example.com/team/app"), "v1")
    assert "s3cret" not in str(caught.value)


def test_a_registry_through_socks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SocksServer() as socks:
        for name in ("https_proxy", "no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://me:s3cret@127.0.0.1:{socks.port}")
        asked = client(logged_in(tmp_path, "registry.example.com:1"))
        with pytest.raises(SourceUnavailable, match="does not answer"):
            asked.manifest(parse_image("registry.example.com:1/team/app"), "v1")
        assert set(socks.asked) == {"registry.example.com:1 me:s3cret"}


def test_pages_of_referrers_are_followed_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/v2/team/app/referrers/{DIGEST}"

    def page(request: Request) -> Reply:
        at = int(request.query.get("page", "0"))
        body = json.dumps({"manifests": [{"digest": f"sha256:{at:064}"}]}).encode()
        following = {"Link": f'<{path}?page={at + 1}>; rel="next"'} if at < 2 else {}
        return Reply(body, headers={"Content-Type": OCI_INDEX, **following})

    with Api({path: page}) as api:
        image = parse_image(f"{host(api)}/team/app")
        assert len(list(client().referrers(image, DIGEST))) == 3
        monkeypatch.setattr(registry, "MAX_PAGES", 2)
        with pytest.raises(SourceUnavailable, match="more than 2 pages"):
            list(client().referrers(image, DIGEST))


def test_a_referrers_api_that_fails_is_no_absence() -> None:
    path = f"/v2/team/app/referrers/{DIGEST}"
    for answer, what in ((Reply(b"", 500), "HTTP 500"), (Reply(b"<html>"), "does not answer with an index")):
        with Api({V1: FOUND, path: answer}) as api:
            image = f"{host(api)}/team/app:v1"
            found = outcome(SignatureVerifier(registry=client()), image)
            assert not found.signed
            assert what in found.problem


def test_a_registry_with_passwords(tmp_path: Path) -> None:
    with RegistryServer(
        referrers=False, htpasswd=f"{USER}:$2b$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG\n"
    ) as server:
        repo = Pusher(server.host, "team/app", (USER, "s3cret"))
        digest = repo.image("v1")
        signing.sign_beside(repo, digest, KEY)
        image = f"{repo.name}:v1"
        found = outcome(SignatureVerifier(registry=client()), image)
        assert f"{repo.name}: the registry denies access (HTTP 401)" in found.problem
        wrong = outcome(SignatureVerifier(registry=client(logged_in(tmp_path, server.host))), image)
        assert "HTTP 401" in wrong.problem
        auth = base64.b64encode(f"{USER}:s3cret".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {server.host: {"auth": auth}}}))
        known = DockerConfig({"DOCKER_CONFIG": str(tmp_path), "HOME": "/"})
        assert outcome(SignatureVerifier(registry=client(known)), image, by(KEY)).signed
