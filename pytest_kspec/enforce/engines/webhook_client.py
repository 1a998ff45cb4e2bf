"""What a running webhook says that it serves: a registration alone says nothing about what is decided.

A webhook behind a Service is asked through the API server (`services/proxy`), one with an address directly, with the
authority that the API server is told to trust. The caller's own credentials get a token for it (TokenRequest), which is
good for the webhook only: nobody's token for the cluster is ever sent there.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.writing.reviewing import service_account_token
from pytest_kspec.errors import SourceUnavailable

if TYPE_CHECKING:
    from pytest_kspec.cluster.sources.live import LiveSource

PATH = "/policies"
PORT = 9444
"""Of the running webhook, and of its Service, for those who read."""
READER, AUDIENCE = "kspec-webhook-reader", "kspec-webhook"
"""The service account that may read, and for whom its tokens are made."""
HEADER = "X-Kspec-Authorization"
"""An API server takes `Authorization` for itself, and hands this one on."""
TOKEN_S = 600
TIMEOUT_S = 5.0
MAX_BYTES = 16 << 20
"""Of the answer; a policy takes some hundred bytes."""


class ServedPolicy(msgspec.Struct):
    """One specification as the webhook enforces it. id: the name that a registration calls."""

    id: str
    name: str
    mode: str


class Served(msgspec.Struct):
    """The answer to `GET /policies`."""

    policies: list[ServedPolicy]


def served(
    client: Mapping[str, Any], source: LiveSource, namespace: str, port: int = PORT, reader: str = READER
) -> dict[str, str]:
    """Mode by id of every specification that the webhook of this `clientConfig` serves.

    namespace: of the service account that may read, where the webhook is not behind a Service
    port: of its Service, or at its address, for those who read
    reader: the service account that may
    Raises AccessDenied, NotFound and SourceUnavailable where it cannot be asked or its answer is none.
    """
    service = client.get("service")
    namespace = service["namespace"] if service else namespace
    token = service_account_token(source, namespace, reader, AUDIENCE, TOKEN_S)
    status, body = _through(service, source, token, port) if service else _directly(client, token, port)
    if status != 200:
        text = " ".join(body.decode(errors="replace").split())[:200]
        raise SourceUnavailable(f"{PATH} answered {status}: {text}", where=source.name)
    try:
        answer = typed.from_json(body, Served)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceUnavailable(
            f"the answer of {PATH} does not come from the webhook.", where=source.name
        ) from error
    return {policy.id: policy.mode for policy in answer.policies}


def _through(service: Mapping[str, Any], source: LiveSource, token: str, port: int) -> tuple[int, bytes]:
    name = f"https:{service['name']}:{port}"
    path = f"/api/v1/namespaces/{service['namespace']}/services/{quote(name)}/proxy{PATH}"
    answer = source.connection.send("GET", path, more={HEADER: f"Bearer {token}"})
    return answer.status, answer.body


def _directly(client: Mapping[str, Any], token: str, port: int) -> tuple[int, bytes]:
    import urllib3

    from pytest_kspec.cluster.api.bounded import Allowance, Exceeded, Meter, read_body
    from pytest_kspec.cluster.api.failing import said_of
    from pytest_kspec.measured import bind

    parts = urlsplit(client["url"])
    try:
        trusted = base64.b64decode(client["caBundle"]).decode("ascii")
        context = ssl.create_default_context(cadata=trusted)
    except (ssl.SSLError, binascii.Error, UnicodeDecodeError) as error:
        raise SourceUnavailable(
            f"its caBundle is not a certificate: {error}.", where=client["url"]
        ) from error
    try:
        meter = Meter()
        with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
            bind(pool, lambda: meter)
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            url, headers = f"https://{host}:{port}{PATH}", {"Authorization": f"Bearer {token}"}
            options: dict[str, Any] = {"timeout": TIMEOUT_S, "redirect": False, "preload_content": False}
            with meter.measure(Allowance(PATH, TIMEOUT_S, MAX_BYTES)):
                answer = pool.request("GET", url, headers=headers, **options)
                return answer.status, read_body(answer, meter)
    except Exceeded as error:
        raise SourceUnavailable(
            f"the request to the webhook was abandoned: {error}.", where=client["url"]
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise SourceUnavailable(
            f"the webhook does not answer {said_of(error)}.", where=client["url"]
        ) from error
