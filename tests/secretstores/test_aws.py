"""Secrets of AWS Secrets Manager, as moto serves it."""

from __future__ import annotations

import contextlib
import logging

import boto3
import pytest

from pytest_kspec.errors import AccessDenied, Malformed, NotFound, SourceUnavailable, UsageError
from pytest_kspec.secretstores.aws import LARGEST_ANSWER, SecretsManager
from pytest_kspec.secretstores.reference import Reference
from tests.cluster.api import Api, Reply, Wire

CANARY = "c4n4ry-5ecret"
VARIABLES = (
    "AWS_REGION",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_SESSION_TOKEN",
    "AWS_CONFIG_FILE",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATESTS",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(aws: str, monkeypatch: pytest.MonkeyPatch) -> SecretsManager:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    return SecretsManager()


def put(aws: str, name: str, **value: object) -> str:
    client = boto3.client("secretsmanager", endpoint_url=aws)
    return str(client.create_secret(Name=name, **value)["ARN"])


def test_keys_and_whole_secrets(aws: str, store: SecretsManager, caplog: pytest.LogCaptureFixture) -> None:
    arn = put(aws, "kspec/team/prod", SecretString=f'{{"token": "{CANARY}", "n": 1}}')
    put(aws, "kspec/team/binary", SecretBinary=CANARY.encode())
    with caplog.at_level(logging.DEBUG):
        assert store.read(Reference("aws", "kspec/team/prod", "", "token")).text() == CANARY
        assert store.read(Reference("aws", arn, "", "token")).text() == CANARY
        assert store.read(Reference("aws", "kspec/team/binary")).text() == CANARY
        for name, kind, message in (
            ("kspec/team/prod", Malformed, "has no text under the key 'x'. It has: n, token."),
            ("kspec/team/binary", Malformed, "is not a JSON object"),
            ("kspec/team/none", NotFound, "the secret does not exist"),
        ):
            with pytest.raises(kind) as wrong:
                store.read(Reference("aws", name, "", "x"))
            assert message in str(wrong.value)
            assert CANARY not in str(wrong.value)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply({"__type": "AccessDeniedException", "Message": CANARY}, 400), AccessDenied),
        (Reply({"__type": "InternalServiceError", "Message": CANARY}, 500), SourceUnavailable),
        (Reply({"Name": "x"}), Malformed),
        (Reply(b"<html>"), Malformed),
        (Reply({"__type": "DecryptionFailure"}, 400), SourceUnavailable),
    ],
    ids=["denied", "broken", "empty", "html", "key"],
)
def test_odd_answers_are_errors_of_the_store(
    reply: Reply, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Api({"/": reply}) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(kind) as wrong:
            SecretsManager().read(Reference("aws", "a"))
    assert CANARY not in str(wrong.value)
    assert wrong.value.__cause__ is None


@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_without_an_end_is_not_read_to_its_end(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [0]

    def act(wire: Wire) -> None:
        wire.send(f"HTTP/1.1 {status} X\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while sent[0] < 40 * LARGEST_ANSWER:
                wire.send(b"x" * (1 << 18))
                sent[0] += 1 << 18

    with Api({"/": Reply(act=act)}) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(SourceUnavailable, match="the store does not answer"):
            SecretsManager().read(Reference("aws", "a"))
    assert sent[0] < 20 * LARGEST_ANSWER


def test_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(SourceUnavailable, match="the store does not answer"):
        SecretsManager().read(Reference("aws", "a"))


def test_nobody_to_ask_as(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(AccessDenied, match="the request to AWS failed: you must specify a region"):
        SecretsManager().read(Reference("aws", "a"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(AccessDenied, match="the request to AWS failed: unable to locate credentials"):
        SecretsManager().read(Reference("aws", "a"))


def test_the_region_is_read_as_by_the_command_of_aws(
    aws: str, monkeypatch: pytest.MonkeyPatch, store: SecretsManager
) -> None:
    """AWS_REGION, also alone; it comes before AWS_DEFAULT_REGION. A secret is of its region."""
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    boto3.client("secretsmanager", endpoint_url=aws, region_name="us-east-2").create_secret(
        Name="kspec/team/of-a-region", SecretString=CANARY
    )
    reference = Reference("aws", "kspec/team/of-a-region")
    assert store.read(reference).text() == CANARY
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert SecretsManager().read(reference).text() == CANARY
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with pytest.raises(NotFound):
        SecretsManager().read(reference)


def test_an_endpoint_without_encryption_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.1")
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL: the connection would not be encrypted"):
        SecretsManager()
