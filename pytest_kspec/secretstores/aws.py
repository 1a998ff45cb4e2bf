"""AWS Secrets Manager, through `boto3`: region, endpoint and credentials are found as AWS's own command finds them."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from pytest_kspec import measured
from pytest_kspec.errors import AccessDenied, Malformed, NotFound, SourceUnavailable
from pytest_kspec.secretstores.endpoint import check_endpoint
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.sealed import Sealed

_ENDPOINTS = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL")
_CONNECT_S, _READ_S = 5, 10
_BOUNDS = Config(
    connect_timeout=_CONNECT_S, read_timeout=_READ_S, retries={"max_attempts": 2, "mode": "standard"}
)
LARGEST_ANSWER = 1 << 20
"""Bytes of an answer: a secret has 64 KiB at most."""
_DENIED = (
    "AccessDeniedException",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredTokenException",
)


class SecretsManager:
    """As `stores.Store`. A reference's name is the secret's name or ARN."""

    def __init__(self) -> None:
        for name in _ENDPOINTS:
            if os.environ.get(name):
                check_endpoint(os.environ[name], name)
        logging.getLogger("botocore").setLevel(
            logging.INFO
        )  # below, it logs answers, with the secrets in them
        self._client: Any = None
        self._lock = threading.Lock()

    def read(self, reference: Reference) -> Sealed:
        """The current version: a key of its JSON; without one, all of it."""
        where = str(reference)
        try:
            with self._lock:
                if self._client is None:
                    self._client = _client()
            answer = self._client.get_secret_value(SecretId=reference.name)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "ResourceNotFoundException":
                raise NotFound("the secret does not exist.", where=where) from None
            if code in _DENIED:
                raise AccessDenied(
                    f"the store refuses the secret ({code}).",
                    where=where,
                    fix="Allow secretsmanager:GetSecretValue.",
                ) from None
            raise SourceUnavailable(f"the store refuses the request ({code}).", where=where) from None
        except (NoCredentialsError, NoRegionError) as error:
            raise AccessDenied(
                f"the request to AWS failed: {str(error).rstrip('.').lower()}.", where=where
            ) from None
        except BotoCoreError as error:
            raise SourceUnavailable(
                f"the store does not answer ({type(error).__name__}).", where=where
            ) from None
        text = answer.get("SecretString")
        whole = text.encode() if isinstance(text, str) else answer.get("SecretBinary")
        if not isinstance(whole, bytes):
            raise Malformed("the secret is empty.", where=where)
        return Sealed(_key(whole, reference.key, where) if reference.key else whole, where=where)


def _client() -> Any:
    # As AWS's own command and the other libraries read it; this one reads AWS_DEFAULT_REGION only.
    session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    client = session.client("secretsmanager", config=_BOUNDS)
    ca_bundle = os.environ.get("AWS_CA_BUNDLE") or os.environ.get("REQUESTS_CA_BUNDLE") or True
    http = URLLib3Session(
        verify=ca_bundle,
        proxies=get_environ_proxies(client.meta.endpoint_url),
        timeout=(_CONNECT_S, _READ_S),
    )

    pools = http._pool_classes_by_scheme  # of its managers too, with proxies and without
    pools |= {scheme: measured.pool_class(pool, _deadline) for scheme, pool in pools.items()}

    def send(request: Any, **_: Any) -> AWSResponse:
        """In the place of the library, which reads as much as it is sent."""
        request.stream_output = True
        found = http.send(request)
        return AWSResponse(found.url, found.status_code, found.headers, _Whole(_bounded(found)))

    client.meta.events.register("before-send.secrets-manager", send)
    return client


def _deadline() -> measured.Deadline:
    return measured.Deadline(_READ_S)


class _Whole:
    """A body that was read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        """As the library asks for it."""
        yield self._content


def _bounded(answer: AWSResponse) -> bytes:
    content = bytearray()
    try:
        while chunk := answer.raw.read1(1 << 16, decode_content=True):
            content += chunk
            if len(content) > LARGEST_ANSWER:
                raise HTTPClientError(error="the answer is too large")
    except (HTTPError, OSError) as error:
        raise HTTPClientError(error=type(error).__name__) from None
    finally:
        answer.raw.close()
    return bytes(content)


def _key(whole: bytes, key: str, where: str) -> bytes:
    try:
        data = json.loads(whole)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise Malformed("the secret is not a JSON object, so it has no keys.", where=where)
    if not isinstance(data.get(key), str):
        keys = ", ".join(sorted(map(str, data)))
        raise Malformed(f"the secret has no text under the key '{key}'.", where=where, fix=f"It has: {keys}.")
    return str(data[key]).encode()


def open_store() -> SecretsManager:
    """The store that the environment describes. Raises UsageError."""
    return SecretsManager()
