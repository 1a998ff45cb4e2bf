"""Secrets of an OpenBao server: paths of both versions of KV, logins, and what it says where it refuses."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pytest_kspec.errors import AccessDenied, Malformed, NotFound, SourceUnavailable, UsageError
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.vault import LARGEST_ANSWER, Vault
from tests.cluster.api import Api, Reply, Wire
from tests.controlplane.certificates import Authority
from tests.secretstores.conftest import ROOT_TOKEN, Bao

CANARY = "c4n4ry-5ecret"
PATH = "secret/data/kspec/team/prod"


@pytest.fixture(scope="module")
def stored(bao: Bao) -> Bao:
    bao.client.secrets.kv.v2.create_or_update_secret("kspec/team/prod", secret={"token": CANARY, "number": 1})
    bao.client.sys.enable_secrets_engine("kv", path="old", options={"version": "1"})
    bao.client.secrets.kv.v1.create_or_update_secret("team/prod", secret={"token": CANARY}, mount_point="old")
    bao.client.sys.create_or_update_policy("reader", 'path "secret/data/kspec/*" { capabilities = ["read"] }')
    return bao


def vault(stored: Bao, **more: str) -> Vault:
    return Vault({"VAULT_ADDR": stored.url, "VAULT_TOKEN": ROOT_TOKEN, **more})


def ref(path: str = PATH, key: str = "token") -> Reference:
    return Reference("vault", path, "", key)


def test_keys_of_both_versions(stored: Bao) -> None:
    store = vault(stored)
    assert store.read(ref()).text() == store.read(ref("old/team/prod")).text() == CANARY
    assert json.loads(store.read(ref(key="")).reveal()) == {"token": CANARY, "number": 1}
    assert store.read(ref()).expires is None


@pytest.mark.parametrize(
    ("reference", "kind", "message"),
    [
        (ref(key="tokne"), Malformed, "has no key 'tokne'. It has: number, token."),
        (ref(key="number"), Malformed, "has no text under the key 'number'."),
        (ref("secret/data/kspec/none"), NotFound, "there is no secret at this path."),
        (ref("secret/kspec/team/prod"), NotFound, "there is no secret at this path."),
        (ref("nowhere/x"), NotFound, "there is no secret at this path."),
    ],
)
def test_what_is_not_there(stored: Bao, reference: Reference, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as wrong:
        vault(stored).read(reference)
    assert message in str(wrong.value)
    assert CANARY not in str(wrong.value)


def test_a_token_that_may_not(stored: Bao) -> None:
    made = stored.client.auth.token.create(policies=["reader"])["auth"]["client_token"]
    assert vault(stored, VAULT_TOKEN=f"{made}\n").read(ref()).text() == CANARY
    with pytest.raises(AccessDenied, match="denies access to this path"):
        vault(stored, VAULT_TOKEN=made).read(ref("old/team/prod"))
    with pytest.raises(AccessDenied):
        vault(stored, VAULT_TOKEN="none").read(ref())


class Issuer:
    """Mints tokens that the server's jwt method accepts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = rsa.generate_private_key(65537, 2048)
        public = self.key.public_key()
        self.public = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def write(self, audience: str = "vault") -> None:
        now = int(time.time())
        claims = {"sub": "kspec", "aud": audience, "iss": "tests", "nbf": now, "exp": now + 600}
        self.path.write_text(jwt.encode(claims, self.key, algorithm="RS256") + "\r\n", encoding="ascii")


def test_a_projected_token_is_exchanged_and_read_again_at_each_login(stored: Bao, tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "token")
    stored.client.sys.enable_auth_method("jwt", path="cluster")
    stored.client.auth.jwt.configure(
        jwt_validation_pubkeys=[issuer.public], bound_issuer="tests", path="cluster"
    )
    stored.client.auth.jwt.create_role(
        name="kspec", role_type="jwt", user_claim="sub", bound_audiences=["vault"], allowed_redirect_uris=[],
        token_policies=["reader"], token_ttl="1h", path="cluster",
    )  # fmt: skip
    named = {"KSPEC_VAULT_ROLE": "kspec", "KSPEC_VAULT_AUTH": "cluster", "KSPEC_VAULT_JWT": str(issuer.path)}
    store = vault(stored, VAULT_TOKEN="", **named)
    with pytest.raises(SourceUnavailable, match=r"could not be read: .*token: No such file"):
        store.read(ref())
    issuer.write("another")
    with pytest.raises(AccessDenied, match="does not accept this token for the role kspec at cluster"):
        store.read(ref())
    issuer.write()
    assert store.read(ref()).text() == CANARY
    stored.client.sys.revoke_prefix("auth/cluster/login")  # the login is gone: one more is tried
    assert store.read(ref()).text() == CANARY


def test_a_lease_says_when_it_ends(stored: Bao) -> None:
    """A token of a secrets engine lives as long as its lease."""
    answer = {"lease_id": "x", "lease_duration": 600, "data": {"token": CANARY}}
    with Api({"/v1/kubernetes/creds/scanner": Reply(answer)}) as api:
        found = Vault({"VAULT_ADDR": api.url, "VAULT_TOKEN": "t"}).read(ref("kubernetes/creds/scanner"))
    assert found.expires is not None
    assert 500 < found.expires - time.time() <= 600


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"errors": ["Vault is sealed"]}, 503),
        Reply({"errors": ["x"]}, 500),
        Reply(b"<html>", 200),
        Reply({}, 302, {"Location": "http://127.0.0.1:1/"}),
        Reply({"data": 1}),
        Reply([1]),
        Reply({}),
        Reply(b"[" * 100_000),
        Reply({"data": {"token": "x"}}, cut=5),
        Reply(b"<html>not found", 404),
        Reply(b"", 404),
        Reply({"message": "no Route matched with those values"}, 404),
        Reply([], 404),
        Reply(b"[" * 100_000, 404),
    ],
    ids=[
        "sealed",
        "broken",
        "html",
        "redirect",
        "number",
        "list",
        "empty",
        "deep",
        "cut",
        "404 page",
        "404 empty",
        "404 of a gateway",
        "404 list",
        "404 deep",
    ],
)
def test_odd_answers_are_errors_of_the_store(reply: Reply) -> None:
    """Not "there is no secret": a store that was not asked has no answer."""
    with Api({"/v1/a/b": reply}) as api, pytest.raises(SourceUnavailable) as wrong:
        Vault({"VAULT_ADDR": api.url, "VAULT_TOKEN": CANARY}).read(ref("a/b"))
    assert CANARY not in str(wrong.value)
    assert wrong.value.__cause__ is None  # a library's error may quote the request


def _endless(status: int, piece: bytes, pause_s: float = 0.0) -> tuple[Reply, list[int]]:
    sent = [0]

    def act(wire: Wire) -> None:
        wire.send(f"HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while sent[0] < 4 * LARGEST_ANSWER:
                wire.send(piece)
                sent[0] += len(piece)
                time.sleep(pause_s)

    return Reply(act=act), sent


@pytest.mark.parametrize("status", [200, 307, 403, 500])
def test_an_answer_without_an_end_is_not_read_to_its_end(status: int) -> None:
    reply, sent = _endless(status, b"x" * (1 << 20))
    with Api({"/v1/a/b": reply}) as api, pytest.raises(SourceUnavailable, match="does not answer"):
        Vault({"VAULT_ADDR": api.url, "VAULT_TOKEN": "t"}).read(ref("a/b"))
    assert sent[0] < 2 * LARGEST_ANSWER


def test_an_answer_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_kspec.secretstores.vault.TIMEOUT_S", 0.5)
    reply, _ = _endless(200, b"x", 0.05)
    with Api({"/v1/a/b": reply}) as api, pytest.raises(SourceUnavailable, match="does not answer"):
        Vault({"VAULT_ADDR": api.url, "VAULT_TOKEN": "t"}).read(ref("a/b"))


@pytest.mark.parametrize("lease", [10**400, -1, True, "600", 1e308, None])
def test_a_lease_that_is_no_time(lease: object) -> None:
    answer = {"lease_id": "x", "lease_duration": lease, "data": {"token": CANARY}}
    with Api({"/v1/a/b": Reply(answer)}) as api:
        assert Vault({"VAULT_ADDR": api.url, "VAULT_TOKEN": "t"}).read(ref("a/b")).text() == CANARY


@pytest.mark.parametrize("answer", [{}, {"auth": None}, {"auth": 1}, [], b"<html>"])
def test_a_login_that_is_answered_by_something_else(answer: object, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a.b.c")
    with Api({"/v1/auth/kubernetes/login": Reply(answer)}) as api:
        store = Vault({"VAULT_ADDR": api.url, "KSPEC_VAULT_ROLE": "r", "KSPEC_VAULT_JWT": str(token)})
        with pytest.raises(SourceUnavailable):
            store.read(ref("a/b"))


def test_a_store_that_is_away() -> None:
    with pytest.raises(SourceUnavailable, match="the store does not answer"):
        Vault({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "t"}).read(ref())


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "VAULT_ADDR: the address of the store is not set"),
        ({"VAULT_ADDR": "http://vault.example:8200"}, "would not be encrypted"),
        ({"VAULT_ADDR": "http://127.0.0.1.example:8200"}, "would not be encrypted"),
        ({"VAULT_ADDR": "https://me:secret@vault"}, "contains a user name"),
        ({"VAULT_ADDR": "vault:8200"}, "this is not an address"),
        ({"VAULT_ADDR": "https://vault:port"}, "this is not an address"),
        ({"VAULT_ADDR": "https://vault"}, "neither a token nor a role"),
    ],
)
def test_settings_that_cannot_be(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Vault(environment)


def test_a_certificate_that_is_not_known_is_not_believed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("server", hosts=("127.0.0.1",))
    tls.load_cert_chain(pair.certificate, pair.key)
    with Api({"/v1/a/b": Reply({"data": {"token": CANARY}})}, tls) as api:
        settings = {"VAULT_ADDR": api.url, "VAULT_TOKEN": "t"}
        with pytest.raises(SourceUnavailable, match=r"does not answer \(SSLError\)"):
            Vault(settings).read(ref("a/b"))
        settings["VAULT_CACERT"] = str(authority.certificate)
        assert Vault(settings).read(ref("a/b")).text() == CANARY
