"""A server that only decodes reviews and allows them: what a webhook costs that decides nothing.

python -m benchmarks.decoding CERTIFICATE KEY PORT             uvicorn as `kspec webhook` runs it, msgspec, no rules
python -m benchmarks.decoding CERTIFICATE KEY PORT --direct    with `direct` before it, as in `kspec webhook`

It decodes all of a review, the object included, into dictionaries.
"""

from __future__ import annotations

import ssl
import sys
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pytest_kspec.serving import limits
from pytest_kspec.serving.config import server_config
from pytest_kspec.serving.limits import Limits
from pytest_kspec.webhook import direct

_RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def allowed(body: bytes) -> bytes:
    """Allow whatever it is."""
    review = msgspec.json.decode(body)
    return msgspec.json.encode(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": review["request"]["uid"], "allowed": True},
        }
    )


def at_once(_client: str, body: bytes) -> bytes:
    """The whole response."""
    answer = allowed(body)
    return _RESPONSE % (len(answer), answer)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same as an application; a GET asks whether it is there."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    answer = allowed(b"".join(parts)) if scope["method"] == "POST" else b"ok"
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def main() -> None:
    """Serve."""
    certificate, key, port = sys.argv[1:4]
    http: type[HttpToolsProtocol] = HttpToolsProtocol
    if "--direct" in sys.argv:
        http = direct.protocol(limits.protocol(Limits(), lambda: None), lambda *_head: at_once)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    config = server_config(
        app,
        http,
        "127.0.0.1",
        int(port),
        Limits().idle_s,
        10,
        date_header=False,
        ssl_context_factory=lambda _config, _default: context,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
