"""A server that only decodes reviews and allows them: what a webhook costs that decides nothing.

python -m benchmarks.decoding CERTIFICATE KEY PORT      uvicorn as `kspec webhook` runs it, msgspec, no rules
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import uvicorn


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Allow whatever it is."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    review = msgspec.json.decode(b"".join(parts)) if scope["method"] == "POST" else {"request": {"uid": ""}}
    answer = msgspec.json.encode(
        {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": review["request"]["uid"], "allowed": True},
        }
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    certificate, key, port = sys.argv[1:]
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
