"""What every HTTP server of ours is started with: no header of a proxy is believed, and no name or version is told."""

from __future__ import annotations

from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def server_config(
    app: Any, http: type[HttpToolsProtocol], host: str, port: int, idle_s: int, grace_s: int, **more: Any
) -> uvicorn.Config:
    """For an ASGI application. http: `limits.protocol`, or one on it.

    idle_s:  how long a connection may be idle; grace_s: how long what is under way has at the end
    more:    of uvicorn, such as its TLS
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=http,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=idle_s,
        timeout_graceful_shutdown=grace_s,
        **more,
    )
