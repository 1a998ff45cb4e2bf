"""The official client on the connections of ours, for the `kube` fixture: the same server, identity and proxy.

The client takes 0.7 s to import, which only those pay who ask for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pytest_kspec.cluster.api.auth import Access


def make_client(access: Access, user_agent: str) -> Any:
    """An `ApiClient`. Its requests carry the headers of `access`; its own configuration holds no credentials, so that
    nothing (such as `kubernetes.stream`, which opens connections of its own) goes past impersonation.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's own deprecations are not this run's
        from kubernetes import client

    configuration: Any = type.__call__(client.Configuration)
    configuration.host = access.server
    configuration.proxy = None  # not the environment's: ours is in the pool
    made: Any = client.ApiClient(configuration=configuration)
    made.rest_client.pool_manager = _Pool(access)
    made.user_agent = user_agent
    return made


class _Pool:
    """What the official client uses of a pool manager."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def request(self, method: str, url: str, *, headers: Mapping[str, str], **options: Any) -> Any:
        """A request with our headers, to our server only: an answer that points elsewhere is not followed."""
        if not (url + "/").startswith(self._access.server + "/"):
            raise ValueError("the client of this cluster sends requests to its API server only")
        options["redirect"] = False
        return self._access.pool.request(method, url, headers=self._access.headers(headers), **options)

    def clear(self) -> None:
        """Close connections."""
        self._access.close()
